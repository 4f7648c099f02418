"""A layout for tests of panels, which need a window otherwise."""

from types import SimpleNamespace


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

    def menu(self, name, *, text):
        self.texts.append(f"<{name}: {text}>")

    def progress(self, *, text, **_options):
        self.texts.append(text)

    def label(self, *, text, **_options):
        self.texts.append(text)

    def operator(self, name, *, text="", **_options):
        self.buttons.append(SimpleNamespace(name=name, text=text))
        return self.buttons[-1]

    def prop(self, _owner, name, **options):
        self.texts.append(f"<{name}{' expanded' if options.get('expand') else ''}>")
