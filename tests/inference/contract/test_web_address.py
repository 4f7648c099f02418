"""Addresses without what opens a door."""

import pytest

from inference.contract.web_address import hide_secrets, secrets, without_secrets


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://huggingface.co", "https://huggingface.co"),
        ("https://mirror.studio:8443/hub/models", "https://mirror.studio:8443/hub/models"),
        ("https://[::1]:80/a", "https://[::1]:80/a"),
        ("http://hub:port", "http://hub:port"),
        ("huggingface.co", "huggingface.co"),
        ("", ""),
        ("https://me:secret@mirror.studio/hub", "https://mirror.studio/hub"),
        ("https://secret@mirror.studio/simple", "https://mirror.studio/simple"),
        ("http://me:sec%40ret@[::1]:80/a", "http://[::1]:80/a"),
        ("http://me:sec@ret@mirror/x", "http://mirror/x"),
        ("me:secret@mirror", "mirror"),
        ("https://mirror/hub?token=secret", "https://mirror/hub?…"),
        ("https://mirror/hub#secret", "https://mirror/hub?…"),
        ("https://me:secret@mirror?token=secret@more", "https://mirror?…"),
        # a password that was not escaped
        ("https://me:sec/ret@mirror/x", "https://…"),
        ("https://me:sec?ret@mirror/x", "https://…"),
        ("https://me:sec#ret@mirror/x", "https://…"),
        ("https://me:sec\\ret@mirror/x", "https://…"),
        ("https:/me:secret@mirror", "https:/…"),
        ("//me:secret@mirror", "…"),
        ("https://me:secret@mirror/\x1b[2J", "https://mirror/[2J"),
        # nor may a path pass for the host
        ("https://elsewhere/@huggingface.co", "https://elsewhere/…"),
        ("https://me:secret@elsewhere/x@huggingface.co", "https://elsewhere/…"),
    ],
)
def test_an_address_without_its_secrets(address, shown):
    assert without_secrets(address) == shown
    assert "sec" not in shown and "ret" not in shown


def test_every_address_in_a_text():
    text = (
        "Client error '404' for url 'http://me:secret@mirror/x?token=secret'. See https://me:secret@other/. and "
        "(https://secret@third), ends with https://me:secret@mirror"
    )
    assert hide_secrets(text) == (
        "Client error '404' for url 'http://mirror/x?…'. See https://other/. and (https://third), ends with "
        "https://mirror"
    )
    plain = "No such file: /a/b (at 12:30); C:\\data\\x@y, D:/data@x/y"
    assert hide_secrets(plain) == plain


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("https://mirror.studio/simple", set()),
        ("https://mirror.studio/simple@2/x", set()),
        ("https://me:secret@a.studio/x http://token@b.studio", {"secret", "token"}),
        ("me:secret@proxy:3128", {"secret"}),
        ("http://me:secret/x y@host/z", {"secret", "secret/x y"}),
        ("https://me:se%40cret@host", {"se%40cret", "se@cret"}),
        ("https://me:abc@host", set()),
    ],
)
def test_the_secrets_of_a_setting_are_found_and_hidden(setting, found):
    assert secrets(setting) == found
    text = hide_secrets(f"Port could not be cast from {' or '.join(found)}", found)
    assert not any(secret in text for secret in found)
