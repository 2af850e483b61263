"""The monitor's screen. It only looks: nothing here changes the engine. Redis down is something it shows."""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from typing import ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, VerticalScroll
from textual.css.query import NoMatches
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Header, Input, Sparkline, Static

from lastro.core.clock import iso
from lastro.core.errors import LastroError
from lastro.core.money import brl
from lastro.core.redis import Hub, connect
from lastro.core.settings import Settings
from lastro.pix.engine.figures import Figures, StreamFigures, figures, quantile, since
from lastro.pix.engine.orders import timeline
from lastro.pix.engine.pix import Pix
from lastro.pix.model.codes import sentence
from lastro.pix.settings import PixSettings

EVERY_SECONDS = 0.5
CHART_POINTS = 120
RATE_POINTS = 10  # the rate on screen is over five seconds
OUTBOXES_SHOWN = 12
CONSUMERS_SHOWN = 8
BAR_WIDTH = 24

LIMITS_MS = {"settled p50": (0.5, 2_800), "settled p99": (0.99, 4_600)}
ANSWER_LIMITS_MS = {"answered p50": (0.5, 1_400), "answered p95": (0.95, 2_300)}


class Timeline(ModalScreen[None]):
    """One payment's story, by its id."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "back")]

    def __init__(self, pix: Pix) -> None:
        super().__init__()
        self.pix = pix

    def compose(self) -> ComposeResult:
        """An id to type, and what is known of it."""
        yield VerticalScroll(Input(placeholder="EndToEndId or RtrId"), Static(id="story"), id="timeline")

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Look it up."""
        try:
            events = await timeline(self.pix, event.value.strip())
            story = "\n".join(f"{iso(event.at_ms)}  {event.what:<9} {event.detail}" for event in events)
        except LastroError as error:
            story = str(error)
        self.query_one("#story", Static).update(story)


class Help(ModalScreen[None]):
    """The keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q", "dismiss", "back")]

    def compose(self) -> ComposeResult:
        """What each key does."""
        yield Static(
            "t  one payment's timeline\np  pause, and go on\n?  this help\nq  quit\n\n"
            "Limits are the SPI's published times: inside the SPI p50 2.8 s and p99 4.6 s,\n"
            "a receiver's answer p50 1.4 s and p95 2.3 s, 40 s until AB03.",
            id="help",
        )


class Page(Screen[None]):
    """The engine at a glance."""

    TITLE = "Lastro Pix"
    CSS = """
    Grid { grid-size: 2; grid-gutter: 0 1; }
    Grid Static { border: round $primary; padding: 0 1; height: 100%; }
    #rate { border: round $primary; height: 100%; }
    #timeline, #help { border: thick $primary; background: $surface; padding: 1 2; margin: 4 8; height: auto; }
    .narrow Grid { grid-size: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "timeline", "timeline"),
        Binding("p", "pause", "pause"),
        Binding("question_mark", "help", "help"),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "narrow"), (100, "wide")]  # noqa: RUF012  # Textual's own way

    def __init__(self, settings: Settings, pix_settings: PixSettings) -> None:
        super().__init__()
        self.settings = settings
        self.pix_settings = pix_settings
        self.hub: Hub | None = None
        self.pix: Pix | None = None
        self.looking = asyncio.Lock()
        self.paused = False
        self.past: deque[Figures] = deque(maxlen=CHART_POINTS + 1)

    def compose(self) -> ComposeResult:
        """Six panels and a chart."""
        yield Header(show_clock=True)
        with Grid():
            yield Static(id="totals")
            yield Sparkline([0.0], id="rate")
            yield Static(id="streams")
            yield Static(id="latency")
            yield Static(id="outboxes")
            yield Static(id="refusals")
        yield Footer()

    def on_mount(self) -> None:
        """Look from now on."""
        self.query_one("#rate", Sparkline).border_title = "payments a second, last minute"
        self.set_interval(EVERY_SECONDS, self.look)
        self.look()

    @work(exclusive=True)
    async def look(self) -> None:
        """One look, drawn; a store that is down is drawn too, and asked again next time."""
        if self.paused:
            return
        try:
            async with self.looking:
                if self.pix is None:
                    self.hub = await connect(self.settings)
                    self.pix = Pix.of(self.hub, self.pix_settings)
                now = await figures(self.pix)
        except LastroError as error:
            self.sub_title = "Redis is down"
            self._draw({"totals": f"[bold red]Redis is down[/]\n{error}"})
            return
        self.past.append(now)
        self.sub_title = now.server
        panels = {
            "totals": totals(list(self.past)),
            "streams": "\n".join(stream(found) for found in now.streams),
            "latency": latencies(now, self.past[max(0, len(self.past) - 2 * RATE_POINTS)]),
            "outboxes": outboxes(now),
            "refusals": refusals(now),
        }
        self._draw(panels)

    def _draw(self, panels: Mapping[str, str]) -> None:
        with suppress(NoMatches):  # the page was left in the middle of a look, and its panels are going
            for name, text in panels.items():
                self.query_one(f"#{name}", Static).update(text)
            self.query_one("#rate", Sparkline).data = rates(list(self.past)) or [0.0]

    def action_timeline(self) -> None:
        """Ask for an id."""
        if self.pix is not None:
            self.app.push_screen(Timeline(self.pix))

    def action_help(self) -> None:
        """Show the keys."""
        self.app.push_screen(Help())

    def action_pause(self) -> None:
        """Stop looking, or go on."""
        self.paused = not self.paused
        self.sub_title = "paused" if self.paused else ""

    async def on_unmount(self) -> None:
        """Disconnect, when the look that is under way has ended: it would open connections that nobody closes."""
        self.workers.cancel_node(self)
        async with self.looking:
            if self.hub is not None:
                await self.hub.aclose()


class Monitor(App[None]):
    """The page alone: ``lastro pix monitor``."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "quit", "quit")]

    def __init__(self, settings: Settings, pix_settings: PixSettings) -> None:
        super().__init__()
        self.page = Page(settings, pix_settings)

    def get_default_screen(self) -> Page:
        """Nothing but the page."""
        return self.page


def page(settings: Settings) -> Page:
    """Pix's page in the monitor of the whole engine."""
    return Page(settings, PixSettings.read())


def rates(past: list[Figures]) -> list[float]:
    """Payments a second between each look and the one before."""
    return [
        max(0.0, (after.count - before.count) / max(0.001, (after.at_ms - before.at_ms) / 1000))
        for before, after in pairwise(past)
    ]


def totals(past: list[Figures]) -> str:
    """Count, money, rate."""
    now = past[-1]
    recent = rates(past[-RATE_POINTS - 1 :])
    rate = sum(recent) / len(recent) if recent else 0.0
    counted = "  ".join(f"{name} {value}" for name, value in sorted(now.counters.items()) if "cents" not in name)
    return (
        f"[bold]{now.count:,}[/] settled   [bold]{brl(now.cents)}[/]\n{rate:,.0f}/s over five seconds   "
        f"memory {now.memory_bytes / 1e6:,.0f} MB   dead letters {now.dead}\n{counted}"
    )


def stream(found: StreamFigures) -> str:
    """A stream, its group and its workers."""
    lag = "?" if found.lag is None else f"{found.lag}"
    head = (
        f"[bold]{found.name}[/]  {found.length} in it  {found.pending} in hand  lag {lag}  "
        f"oldest {found.oldest_ms / 1000:.1f} s"
    )
    workers = [
        f"  {who.name}  {who.pending} in hand  idle {who.idle_ms} ms" for who in found.consumers[:CONSUMERS_SHOWN]
    ]
    more = len(found.consumers) - CONSUMERS_SHOWN
    return "\n".join([head, *workers, *([f"  and {more} more"] if more > 0 else [])])


def latencies(now: Figures, before: Figures) -> str:
    """Percentiles of the last ten seconds, each beside its published limit."""
    rows = []
    for limits, histogram in (
        (LIMITS_MS, since(now.latency, before.latency) or now.latency),
        (ANSWER_LIMITS_MS, since(now.answering, before.answering) or now.answering),
    ):
        for name, (share, limit) in limits.items():
            ms = quantile(histogram, share)
            filled = min(BAR_WIDTH, round(BAR_WIDTH * ms / limit))
            colour = "red" if ms > limit else "green"
            bar = f"[{colour}]{'█' * filled}[/]{'·' * (BAR_WIDTH - filled)}"
            rows.append(f"{name:<13}{bar}│ {ms} of {limit} ms")
    return "\n".join(rows)


def outboxes(now: Figures) -> str:
    """Response streams, the longest first."""
    longest = sorted(now.outboxes, key=lambda found: -found.length)[:OUTBOXES_SHOWN]
    lines = [f"{found.name}  {found.length}  last {found.last_id}" for found in longest]
    return "\n".join([f"[bold]{now.outboxes_all} response streams[/]", *lines])


def refusals(now: Figures) -> str:
    """Refused payments by code."""
    rows = [
        f"{code}  {count:>8}  {sentence(code)}"
        for code, count in sorted(now.rejects.items(), key=lambda pair: -pair[1])
    ]
    return "\n".join(["[bold]refused[/]", *rows]) if rows else "nothing refused"
