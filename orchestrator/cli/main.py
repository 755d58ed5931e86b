"""The root of the command line.

Layer: cli.
"""

from __future__ import annotations

import click

from orchestrator.cli.lazy_groups import LazyGroup


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="otao", message="otao %(version)s")
def main() -> None:
    """Otao, an over-the-air update orchestrator for MQTT fleets."""


# One line each, in the order of help: to see one, to run a service, then to work with one.
_DEMO = "Show a simulated fleet that updates, on this machine."
main.add("demo", "orchestrator.cli.demo:demo", _DEMO)
main.add("serve", "orchestrator.cli.serve:serve", "Run the orchestrator until SIGTERM or SIGINT.")
main.add("migrate", "orchestrator.cli.serve:migrate", "Bring the database to this version's schema, and stop.")
main.add("backup", "orchestrator.cli.serve:backup", "Copy the database to FILE, a new one, while it is served.")
main.add(
    "restore",
    "orchestrator.cli.serve:restore",
    "Put the copy FILE in the place of the database, which is not served meanwhile.",
)
main.add("config", "orchestrator.cli.configurations:config", "Check the settings of a service.")
main.add(
    "acl", "orchestrator.cli.acls:acl", "Print the broker's access rules for these settings, as Mosquitto's acl_file."
)
main.add("keys", "orchestrator.cli.keys:keys", "Make, list and revoke API keys.")
_APPLY = "Make an application, its filters and its software as a file declares them, all or nothing."
main.add("apply", "orchestrator.cli.applying:apply", _APPLY)
_PLAN = "Say what one software, or a catalogue, would do to the fleet; nothing is stored."
main.add("plan", "orchestrator.cli.plans:plan", _PLAN)
main.add("application", "orchestrator.cli.applications:application", "List, define and delete applications.")
main.add("software", "orchestrator.cli.software:software", "List, define, recall and delete software.")
_ROLLOUT = "See how software spreads, and pause, resume, approve or abort that."
main.add("rollout", "orchestrator.cli.rollouts:rollout", _ROLLOUT)
main.add("filter", "orchestrator.cli.filters:filters", "List, define and delete filters, and see what they match.")
main.add("endpoint", "orchestrator.cli.endpoints:endpoint", "List, edit and look into endpoints.")
_REASONS = "orchestrator.cli.explanations"
main.add("explain", f"{_REASONS}:explain", "Say what an endpoint should run next, and why it does not update.")
main.add("history", f"{_REASONS}:history", "List what happened to an endpoint, newest first.")
_FLEETS = "orchestrator.cli.fleets"
main.add("summary", f"{_FLEETS}:summary", "Count endpoints by what they run, by state, and by what went wrong.")
main.add("attention", f"{_FLEETS}:attention", "List the endpoints in trouble, the worst first, and what to do.")
_WATCH = "Show what happens in an application, live on a terminal, one line per event elsewhere."
main.add("watch", "orchestrator.cli.watching:watch", _WATCH)
main.add("graph", "orchestrator.cli.graphs:graph", "Draw which version leads to which, with endpoints and offers.")
_FREEZE = "Stop every new offer at once, until it is lifted; installations that run go on."
main.add("freeze", "orchestrator.cli.freezes:freeze", _FREEZE)
main.add("audit", f"{_FLEETS}:audit", "List who changed what and why, newest first.")
main.add("doctor", f"{_FLEETS}:doctor", "Check broker, database and clock of the service, and say what to change.")
_COMPLETION = "Print a script that completes commands and options in a shell."
main.add("sim", "orchestrator.cli.sim:sim", "Run a fleet of simulated devices on a broker, or in virtual time.")
main.add("completion", "orchestrator.cli.completions:completion", _COMPLETION)
