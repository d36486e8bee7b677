"""Work at a job service: submits a job, waits until it has ended, withdraws it on a rollback."""

from dataclasses import dataclass
from typing import Annotated, Literal, Optional, Union

from windlass_sdk import (
    Action, CallbackAddress, CallbackEvent, Context, Effect, Event, Failure, Field, Plugin, Role, Suspension, path, suspend,
)


@dataclass
class Input:
    title: Annotated[str, Field("What people call the job.", min_length=1)]
    priority: Annotated[Literal["low", "normal", "high"], Field("How soon it is worked on.")] = "normal"
    notify: Annotated[bool, Field("Whether the service calls back when the job has ended.")] = False


@dataclass
class Output:
    id: Annotated[str, Field("The job, as the service names it.")]
    artifact: Annotated[str, Field("Where what it made lies.")]
    seconds: Annotated[int, Field("How long it took.", minimum=0)]


@dataclass
class State:
    id: str
    topic: Optional[str] = None


@dataclass
class Job:
    """What the service answers of a job."""

    id: str
    state: Literal["queued", "running", "done", "failed"]
    artifact: str = ""
    seconds: int = 0
    reason: str = "no reason given"


@dataclass
class Jobs:
    jobs: list[Job]


class Submit(Action[Input, Output, State]):
    name = "submit"
    description = "Submits a job and waits until it has ended."
    effect = Effect.WRITE
    connections = {"jobs": Role("The job service.", ["GET,POST /jobs", "GET,DELETE /jobs/*"])}

    def start(self, ctx: Context, input: Input) -> Suspension:
        jobs = ctx.connection("jobs")
        # Once: another attempt at the same work waits for the same address, and has the same job.
        address = ctx.once("address", ctx.callback, CallbackAddress) if input.notify else None

        def submit() -> str:
            body = {"title": input.title, "priority": input.priority}
            if address is not None:
                body["notify"] = address.required_url()
            response = jobs.post("/jobs", json=body, idempotency_key=True, accept=[422])
            if response.status == 422:
                message = f"the service rejects `{input.title}`: {response.json()['error']}"
                raise Failure.rejected("job-rejected", message).never().detail("title", input.title)
            return response.json(Job).id

        id = ctx.once("job", submit, str)
        ctx.log.info("submitted", job=id)
        ctx.progress.link("job", jobs.url(path("jobs", id)))
        return waiting(State(id, address.topic if address else None), "is in the queue")

    def resume(self, ctx: Context, input: Input, state: State, event: Event) -> Union[Output, Suspension]:
        if isinstance(event, CallbackEvent):
            ctx.log.info("called back", topic="its own" if event.topic == state.topic else "another")
        try:
            job = ctx.connection("jobs").get(path("jobs", state.id)).json(Job)
        except Failure as failure:
            # The job goes on whether it is watched or not.
            if failure.passes:
                return waiting(state, f"cannot be looked at now ({failure.code})")
            raise
        return outcome_of(ctx, job, state)

    def rollback(self, ctx: Context, input: Input, output: Optional[Output]) -> dict[str, list[str]]:
        withdrawn = []
        # After a job that failed, another attempt has another job. One whose answer got lost is found by its key.
        for started in ctx.starts:
            id = started.recorded("job", str) or next((it.id for it in by_key(ctx, started.key)), None)
            if id is not None and ctx.connection("jobs").delete(path("jobs", id), accept=[404]).status != 404:
                withdrawn.append(id)
        return {"withdrawn": withdrawn}

    def find(self, ctx: Context, input: Input) -> Union[Output, Suspension, None]:
        found = by_key(ctx, ctx.idempotency_key)
        return outcome_of(ctx, found[0], State(found[0].id)) if found else None


def by_key(ctx: Context, key: str) -> list[Job]:
    return ctx.connection("jobs").get("/jobs", query={"key": key}).json(Jobs).jobs


def outcome_of(ctx: Context, job: Job, state: State) -> Union[Output, Suspension]:
    if job.state == "done":
        ctx.progress.percent(100)
        return Output(job.id, job.artifact, job.seconds)
    if job.state == "failed":
        raise Failure.rejected("job-failed", f"job {job.id} failed: {job.reason}").detail("job", job.id)
    ctx.progress.status(f"job {job.id} is {job.state}")
    return waiting(state, f"is {job.state}")


def waiting(state: State, how: str) -> Suspension:
    return suspend(state, after=2, callback=state.topic, status=f"job {state.id} {how}")


plugin = Plugin(name="jobs", version="0.1.0", description="Work at a job service.", actions=[Submit])
