"""The version differences, each on the Blender that runs the test."""

import bpy
import pytest
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.problems import Problem


@pytest.fixture(params=["CompositorNodeTree", "ShaderNodeTree", "GeometryNodeTree"])
def tree(request, empty_file):
    return bpy.data.node_groups.new("tree", request.param)


def test_math_links_sockets_and_sets_numbers(tree):
    value = nodes.new(tree, "Value")
    out = nodes.math(tree, "MULTIPLY_ADD", nodes.output_of(value, "Value"), 2.0, 3.0)
    first, second, third = out.node.inputs[:3]
    assert first.links[0].from_node == value
    assert (second.default_value, third.default_value) == (2.0, 3.0)
    assert out.node.operation == "MULTIPLY_ADD"


def test_a_wrong_socket_name_is_told_with_the_right_ones(tree):
    node = nodes.new(tree, "Math")
    with pytest.raises(Problem, match="Value"):
        nodes.input_of(node, "Factor")
    with pytest.raises(Problem):
        nodes.input_of(node, "Value", 2)  # only operations of three operands use the third


def test_options_are_set_as_properties_or_as_sockets(empty_file):
    tree = bpy.data.node_groups.new("tree", "CompositorNodeTree")
    scale = nodes.new(tree, "CompositorNodeScale")
    nodes.set_option(scale, "space", "RENDER_SIZE")
    if "Type" in scale.inputs:
        assert scale.inputs["Type"].default_value == "Render Size"
    else:
        assert scale.space == "RENDER_SIZE"
    with pytest.raises(KeyError, match="no option 'nonsense'"):
        nodes.set_option(scale, "nonsense", 1)


def test_interface_holds_what_it_was_given(tree):
    shape = nodes.panel(tree, "Shape", description="How it looks")
    assert nodes.panel(tree, "Shape") == shape
    nodes.interface_input(
        tree, "Near", "Float", default=2.0, minimum=0.5, maximum=9.0, subtype="DISTANCE", description="d", parent=shape
    )
    nodes.interface_output(tree, "Z", "Float", description="z")
    inputs, outputs = nodes.group_sockets(tree)
    again = nodes.group_sockets(tree)
    assert ([*inputs], [*outputs]) == ([*again[0]], [*again[1]]) and len(tree.nodes) == 2
    socket = next(i for i in tree.interface.items_tree if i.name == "Near")
    assert (socket.default_value, socket.min_value, socket.max_value) == (2.0, 0.5, 9.0)
    assert (socket.subtype, socket.description, socket.parent.name) == ("DISTANCE", "d", "Shape")
    assert inputs["Near"].type == outputs["Z"].type == "VALUE"


def test_modifier_inputs_by_name(empty_file):
    tree = bpy.data.node_groups.new("tree", "GeometryNodeTree")
    inside = nodes.panel(tree, "Panel")
    nodes.interface_input(tree, "Geometry", "Geometry")
    nodes.interface_input(tree, "Height", "Float", default=1.0, parent=inside)
    nodes.interface_output(tree, "Geometry", "Geometry")
    inputs, outputs = nodes.group_sockets(tree)
    move = nodes.new(tree, "GeometryNodeSetPosition")
    up = nodes.new(tree, "CombineXYZ")
    nodes.feed(nodes.input_of(up, "Z"), inputs["Height"])
    nodes.feed(nodes.input_of(move, "Geometry"), inputs["Geometry"])
    nodes.feed(nodes.input_of(move, "Offset"), nodes.output_of(up, "Vector"))
    nodes.feed(outputs["Geometry"], nodes.output_of(move, "Geometry"))
    mesh = bpy.data.meshes.new("point")
    mesh.from_pydata([(0, 0, 0)], [], [])
    thing = bpy.data.objects.new("point", mesh)
    empty_file.collection.objects.link(thing)
    modifier = thing.modifiers.new("nodes", "NODES")
    modifier.node_group = tree
    assert nodes.modifier_input(modifier, "Height") == 1.0
    for height in (4.0, 7.0):
        nodes.set_modifier_input(modifier, "Height", height)
        assert nodes.modifier_input(modifier, "Height") == height
        evaluated = thing.evaluated_get(bpy.context.evaluated_depsgraph_get())
        assert evaluated.data.vertices[0].co.z == height


def test_arrange_keeps_the_flow_from_left_to_right(tree):
    a = nodes.math(tree, "ADD", 1.0, 2.0)
    b = nodes.math(tree, "ADD", a, 2.0)
    c = nodes.math(tree, "ADD", a, b)
    nodes.arrange(tree)
    assert a.node.location.x < b.node.location.x < c.node.location.x
