"""Hello: the tutorial workflow, as a worker serves it (``broker-wf worker apps.hello.app:workflow``)."""

from broker_wf import Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent


class Greeting(Event):
    """What the second step shall shout."""

    text: str


class HelloFlow(Workflow):
    """Greets ``name``; each step may run in another process."""

    @step
    async def greet(self, ev: StartEvent) -> Greeting:
        """Make the greeting."""
        return Greeting(text=f"Hello, {ev.get('name', 'world')}")

    @step
    async def shout(self, ev: Greeting) -> StopEvent:
        """End the run with it."""
        return StopEvent(result=f"{ev.text}!".upper())


workflow = HelloFlow(timeout=60)
