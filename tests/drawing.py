"""What tests of panels draw, which needs a window otherwise: a layout, and an environment to speak of."""

import json
from types import SimpleNamespace

from bl_ext.dev.fathom.inference.contract import environment
from bl_ext.dev.fathom.scene import disk_status, preferences


class Recorder:
    """A layout that keeps the text of what is drawn, and the buttons."""

    def __init__(self):
        self.texts, self.buttons = [], []

    def column(self, **_options):
        return self

    def row(self, **_options):
        return self

    def split(self, **_options):
        return self

    def box(self):
        return self

    def template_icon(self, *, icon_value, scale):
        self.texts.append("<plot>")

    def template_list(self, *_arguments, **_options):
        pass

    def menu(self, name, *, text, **_options):
        self.texts.append(f"<{name}: {text}>")

    def progress(self, *, text, **_options):
        self.texts.append(text)

    def label(self, *, text, **_options):
        self.texts.append(text)

    def operator(self, name, *, text="", icon="NONE", **_options):
        self.buttons.append(SimpleNamespace(name=name, text=text, icon=icon))
        return self.buttons[-1]

    def operator_menu_enum(self, name, _property, **options):
        return self.operator(name, **options)

    def prop_search(self, _owner, name, *_arguments, **_options):
        self.texts.append(f"<{name}>")

    def prop(self, _owner, name, **options):
        self.texts.append(f"<{name}{' expanded' if options.get('expand') else ''}>")


def look():
    """Look for what was drawn without being known, as the timer does."""
    while disk_status.work() is not None:
        pass


def drawn(draw, *arguments, **options):
    """What a function draws into its first argument, a layout, when the timer has looked for what it asked."""
    disk_status.outdate()
    draw(Recorder(), *arguments, **options)
    look()
    draw(layout := Recorder(), *arguments, **options)
    return layout


def ready(packages):
    """What an environment that was set up looks like from outside."""
    folder = preferences.own_environment(packages)
    python = environment.python_of(folder)
    python.parent.mkdir(parents=True)
    python.write_text("")
    python.chmod(0o755)
    (folder / "pyvenv.cfg").write_text("")
    stamp = {"requirements": environment.fingerprint(environment.requirements_of(packages))}
    (folder / environment.STAMP).write_text(json.dumps(stamp))
    return python
