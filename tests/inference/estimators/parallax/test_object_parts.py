"""Parts of dynamic objects: which of them are one object, and an outline that the frames around share."""

import numpy as np
import pytest

from inference.estimators.parallax import moving, object_depth, object_parts
from inference.estimators.parallax.pixel_paths import PixelPaths

HEIGHT, WIDTH, COUNT = 90, 160, 12

# the ground is nearer the lower it is; behind it there is a wall
GROUND = np.where(np.arange(HEIGHT) < 40, 0.1, 0.1 + 0.01 * (np.arange(HEIGHT) - 40)).astype(np.float32)[:, None]
SCENE = np.tile(GROUND, (1, WIDTH))


def box(left, top, right, bottom):
    found = np.zeros((HEIGHT, WIDTH), bool)
    found[top:bottom, left:right] = True
    return found


def film(*actors, count=COUNT):
    """Labels of each frame, and flow; an actor is a function of the frame to its boxes and its step to the next."""
    labels, flows = [], []
    for frame in range(count):
        label, flow = np.zeros((HEIGHT, WIDTH), np.int32), np.zeros((2, HEIGHT, WIDTH, 2), np.float32)
        number = 0
        for actor in actors:
            boxes, step = actor(frame)
            for region in boxes:
                number += 1
                label[region] = number
                flow[0, region], flow[1, np.roll(region, step, axis=(1, 0))] = step, np.negative(step)
        labels.append(label)
        flows.append(flow)
    return labels, flows


def joined(labels, flows, scene=SCENE, rises=None):
    """For each frame, the number of the object by label."""
    found = object_parts.joined(
        lambda frame: (scene, labels[frame]), flows.__getitem__, len(labels), check=lambda: None, rises=rises
    )
    assert all(number[0] == 0 and number.max(initial=0) <= len(number) - 1 for number in found)
    return [number[1:].tolist() for number in found]


def plain(left, top, right, bottom, step):
    return lambda frame: ((box(left + step * frame, top, right + step * frame, bottom),), (step, 0))


def walker(left, top, bottom, step, width=16):
    """Head and body, found as two parts."""

    def at(frame):
        x = left + step * frame
        neck = top + (bottom - top) // 4
        return (box(x, top, x + width, neck), box(x, neck + 1, x + width, bottom)), (step, 0)

    return at


def test_two_touching_parts_that_go_the_same_way_become_one():
    assert joined(*film(walker(20, 20, 70, 3))) == [[1, 1]] * COUNT


@pytest.mark.parametrize("apart", [0, 24])
def test_two_people_who_pass_each_other_stay_two(apart):
    """On the same ground, to the right and to the left; they touch as they meet, or from the beginning."""
    people = plain(40, 20, 58, 70, 3), plain(58 + apart, 24, 76 + apart, 70, -3)
    assert all(sorted(numbers) == [1, 2] for numbers in joined(*film(*people, count=apart // 6 + 5)))


def test_who_walks_beside_on_ground_farther_away_stays_another():
    assert joined(*film(plain(20, 20, 36, 85, 3), plain(37, 30, 48, 60, 3))) == [[1, 2]] * COUNT


def test_what_goes_the_same_way_without_touching_stays_another():
    assert joined(*film(walker(10, 20, 70, 3), walker(60, 20, 70, 3))) == [[1, 1, 2, 2]] * COUNT


def test_parts_of_what_comes_nearer_are_one():
    """They go away from each other as the whole grows."""
    labels, flows = [], []
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for frame in range(COUNT):
        size = 1.03**frame
        top, neck, bottom = (round(60 - at * size) for at in (40, 25, 0))
        label = box(70, top, 90, neck).astype(np.int32) + 2 * box(70, neck + 1, 90, bottom)
        step = 0.03 * np.stack([x - 80, y - 60], axis=-1)
        labels.append(label)
        flows.append(np.stack([step, -step]))
    assert joined(labels, flows) == [[1, 1]] * COUNT


def test_parts_that_were_one_region_are_one_though_they_no_longer_touch():
    def actor(frame):
        x = 20 + 3 * frame
        body = box(x, 20, x + 16, 70)
        head, skirt = body & box(0, 0, WIDTH, 35), body & box(0, 48, WIDTH, HEIGHT)
        return (body,) if frame < 4 else (head, skirt), (3, 0)

    labels, flows = film(actor)
    assert joined(labels, flows) == [[1]] * 4 + [[1, 1]] * (COUNT - 4)


def test_a_head_stands_where_its_body_does():
    """By itself it has nothing below it but what is far behind the body."""
    labels, flows = film(walker(20, 20, 70, 3))
    numbers = object_parts.joined(lambda f: (SCENE, labels[f]), flows.__getitem__, COUNT, check=lambda: None)
    whole = [number[label] for number, label in zip(numbers, labels, strict=True)]
    found = object_depth.depths(lambda f: (SCENE, whole[f]), flows.__getitem__, COUNT, most=3.0, check=lambda: None)
    np.testing.assert_allclose([values[1] for values in found], GROUND[71, 0], rtol=0.03)


def seen_nearer(*regions, by=0.5):
    """How much nearer than the ground around a network sees each pixel: some regions, by so much."""
    risen = np.full((HEIGHT, WIDTH), 0.01, np.float32)
    for region in regions:
        risen[region] = by
    return risen


def test_what_a_network_sees_no_nearer_than_the_ground_is_no_object():
    """A reflection that slides over the road, and somebody who walks there."""
    labels, flows = film(plain(20, 60, 44, 80, 2), plain(90, 30, 104, 80, 1))
    person = [box(90 + frame, 30, 104 + frame, 80) for frame in range(COUNT)]
    assert joined(labels, flows, rises=lambda frame: seen_nearer(person[frame])) == [[0, 1]] * COUNT
    assert joined(labels, flows, rises=lambda frame: seen_nearer(person[frame], by=np.inf)) == [[0, 1]] * COUNT


def test_a_person_stands_with_the_feet_that_a_network_sees_no_nearer_than_the_ground():
    labels, flows = film(walker(20, 20, 70, 3))  # head and shoulders, and what is below
    upper = [labels[frame] == 1 for frame in range(COUNT)]
    assert joined(labels, flows, rises=lambda frame: seen_nearer(upper[frame])) == [[1, 1]] * COUNT


def test_what_a_network_sees_nearer_only_for_a_while_stands():
    labels, flows = film(plain(20, 60, 44, 80, 2))
    risen = [seen_nearer(labels[frame] == 1, by=0.0 if frame % 3 else 0.5) for frame in range(COUNT)]
    assert joined(labels, flows, rises=risen.__getitem__) == [[1]] * COUNT


def test_a_frame_without_objects_has_none():
    labels = [np.zeros((HEIGHT, WIDTH), np.int32)] * 3
    assert joined(labels, [np.zeros((2, HEIGHT, WIDTH, 2), np.float32)] * 3) == [[]] * 3
    assert object_parts.joined(labels.__getitem__, labels.__getitem__, 0, check=lambda: None) == []


def still(trust=1.0):
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    return PixelPaths(0, np.stack([x, y], axis=-1), np.full((HEIGHT, WIDTH), trust, np.float32))


def test_an_outline_that_each_frame_finds_in_parts_is_whole_by_all():
    """Every frame misses another fifth of a walker, and one has something that no other has."""
    whole = box(60, 20, 80, 70)
    masks = [whole & ~box(60, 20 + 10 * part, 80, 30 + 10 * part) for part in range(5)]
    own = masks[2] | box(120, 60, 130, 70)
    found = moving.lasting(own, [(mask, still()) for mask in masks[:2] + masks[3:]])
    np.testing.assert_array_equal(found, whole)


def test_an_outline_follows_the_flow():
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    path = PixelPaths(1, np.stack([x + 12, y], axis=-1), np.ones((HEIGHT, WIDTH), np.float32))
    found = moving.lasting(np.zeros((HEIGHT, WIDTH), bool), [(box(72, 20, 92, 70), path)] * 3)
    np.testing.assert_array_equal(found, box(60, 20, 80, 70))


@pytest.mark.parametrize("others", [[], [(np.zeros((HEIGHT, WIDTH), bool), still(0.0))]])
def test_by_itself_a_frame_keeps_its_outline(others):
    own = box(60, 20, 80, 70)
    np.testing.assert_array_equal(moving.lasting(own, others), own)
