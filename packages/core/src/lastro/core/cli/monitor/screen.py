"""The monitor's screens. They only look, and change nothing. A server that is away is something they show."""

from contextlib import suppress
from typing import Any, ClassVar

from rich.markup import escape
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Vertical, VerticalScroll
from textual.css.query import NoMatches
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Header, Sparkline, Static

from lastro.core.money import brl
from lastro.core.panels import PAST_MAX, Look, Panel, Watch
from lastro.core.plugins import installed, plugs
from lastro.core.settings import Settings

EVERY_SECONDS = 1.0


class Help(ModalScreen[None]):
    """The keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q", "dismiss", "back")]

    def compose(self) -> ComposeResult:
        """What each key does."""
        pages = "\n".join(f"{number}  {name}" for number, name in enumerate(plugs("lastro.panels"), 1))
        yield Static(f"0, escape  all domains\n{pages}\np  pause, and go on\n?  this help\nq  quit", id="help")


class Overview(Screen[None]):
    """All domains."""

    def compose(self) -> ComposeResult:
        """The server, a card per domain, the problems."""
        yield Header(show_clock=True)
        yield Static("looking …", id="store")
        with Grid():
            for name in plugs("lastro.panels"):
                with Vertical(id=f"card-{name}", classes="card"):
                    yield Sparkline([0.0])
                    yield Static()
        yield Static(id="problems")
        yield Footer()

    def draw(self, look: Look, past: list[Look]) -> None:
        """Show a look; when the server is away, say so and leave the cards as they were."""
        self.query_one("#store", Static).update(store(look))
        if look.store is None:
            return
        for name, panel in look.panels.items():
            card = self.query_one(f"#card-{name}")
            card.border_title = name
            card.query_one(Sparkline).data = rates(past, name)
            card.query_one(Static).update(facts(panel, look.rates[name]))
        told = [f"{name}: {text}" for name, panel in look.panels.items() for text in panel.problems]
        self.query_one("#problems", Static).update("\n".join(f"[bold red]{escape(text)}[/]" for text in told))


class Page(Screen[None]):
    """One domain that has no page of its own making."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.domain = name
        self.title = f"Lastro {name}"

    def compose(self) -> ComposeResult:
        """Its rate, its facts, its rows."""
        yield Header(show_clock=True)
        with VerticalScroll(classes="card"):
            yield Sparkline([0.0])
            yield Static(id="facts")
            yield Static(id="rows")
        yield Footer()

    def draw(self, look: Look, past: list[Look]) -> None:
        """Show a look."""
        panel = look.panels.get(self.domain)
        if panel is None:
            self.query_one("#facts", Static).update(store(look))
            return
        width = max((len(what) for what, _ in panel.rows), default=0)
        self.query_one(Sparkline).data = rates(past, self.domain)
        self.query_one("#facts", Static).update(facts(panel, look.rates[self.domain]))
        self.query_one("#rows", Static).update(
            "\n" + "\n".join(f"{escape(what):<{width}}  [bold]{escape(much)}[/]" for what, much in panel.rows)
        )


class Monitor(App[None]):
    """The engine at a glance."""

    TITLE = "Lastro"
    CSS = """
    #store { padding: 0 1; }
    Grid { grid-size: 2; grid-gutter: 0 1; }
    .card { border: round $primary; padding: 0 1; height: 1fr; }
    Sparkline { height: 3; margin-bottom: 1; }
    #problems { height: auto; max-height: 8; padding: 0 1; }
    #help { border: thick $primary; background: $surface; padding: 1 2; margin: 4 8; height: auto; }
    .narrow Grid { grid-size: 1; }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "narrow"), (90, "wide")]  # noqa: RUF012  # Textual's own way

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.eyes = Watch(settings, installed("lastro.panels"))
        self.paused = False
        for number, name in enumerate(plugs("lastro.panels"), 1):
            self.bind(str(number), f"page('{name}')", description=name)
        self.bind("0,escape", "overview", description="all")
        self.bind("p", "pause", description="pause")
        self.bind("question_mark", "help", description="help")
        self.bind("q", "quit", description="quit")

    def get_default_screen(self) -> Overview:
        """All domains first."""
        return Overview()

    def on_mount(self) -> None:
        """Look from now on."""
        self.set_interval(EVERY_SECONDS, self.look)
        self.look()

    @work(exclusive=True)
    async def look(self) -> None:
        """One look, drawn on the screen that shows."""
        if not self.paused:
            await self.eyes.look()
        if self.eyes.past and isinstance(self.screen, Overview | Page):
            with suppress(NoMatches):  # a page that is coming or going in the middle of a look
                self.screen.draw(self.eyes.past[-1], list(self.eyes.past))

    def action_page(self, name: str) -> None:
        """A domain's own page, or the plain one."""
        self.action_overview()
        own: Any = plugs("lastro.screens").get(name)
        self.push_screen(own.load()(self.settings) if own else Page(name))
        self.look()

    def action_overview(self) -> None:
        """Back to all domains."""
        while len(self.screen_stack) > 1:
            self.pop_screen()

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Help())

    def action_pause(self) -> None:
        """Stop looking, or go on."""
        self.paused = not self.paused
        self.sub_title = "paused" if self.paused else ""

    async def on_unmount(self) -> None:
        """Disconnect."""
        self.workers.cancel_node(self)
        await self.eyes.aclose()


def store(look: Look) -> str:
    """The server in a line."""
    if look.store is None:
        return f"[bold red]the server is away[/]  {escape(look.reason)}"
    found = look.store
    return (
        f"[bold]{found.version}[/]  {escape(found.url)}  {found.memory_bytes / 1e6:,.1f} MB  "
        f"{look.rates['commands']:,.0f} commands/s  {found.clients} connections  {found.role} with "
        f"{found.replicas} replicas  fsync {found.fsync}"
    )


def facts(panel: Panel, rate: float) -> str:
    """A domain in a few lines."""
    moved = f"   {brl(panel.cents)}" if panel.cents is not None else ""
    late = f"p50 {panel.p50_ms:,.0f} ms   p99 {panel.p99_ms:,.0f} ms   " if panel.p50_ms and panel.p99_ms else ""
    oldest = f", oldest {panel.oldest_seconds:.1f} s" if panel.backlog else ""
    dead = f"[bold red]{panel.dead:,} dead[/]" if panel.dead else "0 dead"
    return (
        f"[bold]{rate:,.0f}/s[/]   {panel.done:,} {panel.unit}{moved}\n{late}{panel.backlog:,} waiting{oldest}   {dead}"
    )


def rates(past: list[Look], name: str) -> list[float]:
    """The chart of a domain: the newest at the right end."""
    known = [look.rates.get(name, 0.0) for look in past if look.store is not None]
    return [0.0] * (PAST_MAX - len(known)) + known
