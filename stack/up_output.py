"""Output of `takt up`: a line for each service that becomes ready, crashes with their reasons, and the URLs.

Lines are coloured in a terminal and plain in a pipe.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.backoff import RestartHistory
from shared.durability import Server
from stack.first_prediction import Predicted
from stack.model_building import Built
from stack.plan import Plan


def show(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print the rows under their headings, or `empty` if there are none."""
    console = Console(highlight=False)
    if not rows:
        console.print(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    if not console.is_terminal:
        console.width = 200  # a pipe has no width; keep each row on its own line
    console.print(table, markup=False)


_WIDTH = 10


class Output:
    """Prints to the console; implements `supervisor.SupervisorEvents`."""

    def __init__(self, console: Console | None = None) -> None:
        # soft_wrap: lines in a pipe are not broken
        self._console = console or Console(highlight=False, soft_wrap=True)

    def _say(self, subject: str, text: str, style: str = "") -> None:
        opening = f"[{style}]{subject:<{_WIDTH}}[/{style}]" if style else f"{subject:<{_WIDTH}}"
        self._console.print(f"{opening} {escape(text)}")

    def _indent(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._console.print(f"{'':<{_WIDTH}}   [dim]{escape(line)}[/dim]")

    def begins(self, plan: Plan) -> None:
        names = ", ".join(
            key if "@" in key else f"{key}@{spec.default_version}"
            for spec in plan.models
            for key in plan.keys_of(spec)
        )
        workers = f"{plan.workers} worker{'s' if plan.workers > 1 else ''} on {plan.settings.device}"
        gateways = f"{plan.gateways} gateways, " if plan.gateways > 1 else ""
        self._say("takt", f"{gateways}{workers}; models {names}; data in {plan.folder.root}", "bold")
        if plan.exposed and not plan.guarded:
            self._say(
                "takt",
                f"{plan.settings.host} is reachable from other machines and requires no API key",
                "yellow",
            )
        for problem in plan.problems:
            self._say("models", f"not served: {problem}", "red")

    def building(self, names: Sequence[str]) -> None:
        self._say("models", f"building {', '.join(names)} (first start only)")

    def built(self, built: Built) -> None:
        self._say("models", f"{built.name} {built.as_text()}", "green" if built.ok else "red")

    def model_prints(self, model: str, line: str) -> None:
        """Print a line of output of the model's own code."""
        self._say(model or "models", f"| {line}", "dim")

    def queue_found(self, server: Server, url: str) -> None:
        self._say("queue", f"using {server} at {url}", "green")

    def cut_off(self, cuts: Sequence[object], kept: object) -> None:
        text = "; ".join(map(str, cuts))
        self._say(
            "queue",
            f"append-only file incomplete after a power cut; truncated {text}. Copy in {kept}",
            "yellow",
        )

    def ready(self, service: str, detail: str, took_s: float) -> None:
        self._say(service, f"ready after {took_s:.1f} s: {detail}", "green")

    def crashed(self, service: str, how: str, history: RestartHistory, errors: list[str]) -> None:
        early = f", {history.early} in a row before it served" if history.early > 1 else ""
        restart = f"restarting in {delay_s:.1f} s" if (delay_s := history.delay_s()) else "restarting"
        opening = ". Errors in its log:" if errors else ""
        self._say(service, f"{how} (crash {history.total}{early}); {restart}{opening}", "red")
        self._indent(errors)

    def restarted_inside(self, service: str, how: str, count: int) -> None:
        self._say(service, f"{how} (restart {count} of a worker)", "red")

    def serving(self, plan: Plan, predicted: Predicted) -> None:
        for name, reason in predicted.failed.items():
            self._say(name, f"not served: {reason}", "red")
        self._console.print()
        self._say("try", f"{predicted.model}, answered in {predicted.took_ms:.0f} ms:", "bold")
        self._console.print(f"  {escape(predicted.curl)}")
        self._console.print(f"  [cyan]{escape(predicted.answer)}[/cyan]")
        self._places(plan)

    def serving_keys(self, plan: Plan, curl: str) -> None:
        self._console.print()
        self._say("keys", "requests need an API key; in another terminal: takt keys create NAME", "bold")
        self._say("try", "with the key in TAKT_API_KEY:", "bold")
        self._console.print(f"  {escape(curl)}")
        self._places(plan)

    def _places(self, plan: Plan) -> None:
        self._console.print()
        url = plan.http_url
        for subject, text in (
            ("API", url),
            ("console", f"{url}/console"),
            ("docs", f"{url}/docs"),
            ("health", f"{url}/health"),
            ("logs", str(plan.folder.logs)),
        ):
            self._say(subject, text, "bold")
        self._say("", "press Ctrl-C to stop")

    def stopping(self, service: str) -> None:
        self._say(service, "stopping")

    def killed(self, service: str, grace_s: float) -> None:
        self._say(service, f"did not exit within {grace_s:.0f} s and was killed", "yellow")

    def ends_at_once(self) -> None:
        self._say("takt", "killing all services", "yellow")

    def ended(self) -> None:
        self._say("takt", "stopped", "bold")
