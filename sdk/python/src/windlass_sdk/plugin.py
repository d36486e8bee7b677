"""A plugin: its actions, its manifest, and the way from a call in JSON to the right typed function and back."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import typing
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any, ClassVar, Generic, Optional, Sequence, TypeVar, Union

from . import schema
from .context import Call, Context, Host
from .enums import Members
from .failure import Failure, milliseconds
from .outcome import Event, Suspension

#: The version of the plugin contract that this SDK speaks.
CONTRACT = "0.1"

_STATE_BYTES_MAX = 65_536
_OPERATIONS = ("start", "resume", "cancel", "resume_cancel", "rollback", "resume_rollback", "find")
#: What goes on with an operation that waited.
_RESUMES = {"start": "resume", "cancel": "resume_cancel", "rollback": "resume_rollback"}
#: What declares the type of what is carried meanwhile.
_STATES = {"start": "State", "cancel": "`cancel_state`", "rollback": "`rollback_state`"}
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")

Input = TypeVar("Input")
Output = TypeVar("Output")
State = TypeVar("State")


class Effect(Enum, metaclass=Members):
    """What repeating an action does to the world."""

    READ = "read"
    IDEMPOTENT_WRITE = "idempotent_write"
    WRITE = "write"


@dataclass
class Role:
    """A connection role with the requests that are made: ``Role("The CI.", ["POST /builds", "GET,DELETE /builds/*"])``."""

    description: str
    requests: Sequence[str] = ()
    required: bool = True

    def manifest(self) -> dict[str, Any]:
        """As in the manifest."""
        requests = []
        for request in self.requests:
            methods, _, path = request.partition(" ")
            if not path.startswith("/"):
                raise TypeError(f"`{request}` is no request: write for example GET,POST /jobs/*")
            requests.append({"methods": methods.split(","), "path": path})
        return {"description": self.description, "required": self.required, "requests": requests}


@dataclass
class Limits:
    """What one call may use; what is not said has the host's default."""

    cpu: Union[timedelta, float, None] = None
    wall: Union[timedelta, float, None] = None
    memory_bytes: Optional[int] = None
    output_bytes: Optional[int] = None
    log_bytes: Optional[int] = None
    state_bytes: Optional[int] = None
    http_requests: Optional[int] = None
    request_bytes: Optional[int] = None
    response_bytes: Optional[int] = None

    def manifest(self) -> dict[str, int]:
        """As in the manifest."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        for name in ("cpu", "wall"):
            if name in given:
                given[f"{name}_ms"] = milliseconds(given.pop(name))
        return given


class Action(Generic[Input, Output, State]):
    """One action: ``class Submit(Action[Input, Output, State])`` with the dataclasses that it reads and gives; the state is
    ``None`` for one that never waits. Operations beside ``start`` are announced by being defined."""

    #: As workflows name it.
    name: ClassVar[str]
    #: One sentence.
    description: ClassVar[str]
    effect: ClassVar[Effect]
    connections: ClassVar[dict[str, Role]] = {}
    limits: ClassVar[Limits] = Limits()
    #: What suspensions of `cancel` and `rollback` carry.
    cancel_state: ClassVar[Any] = Any
    rollback_state: ClassVar[Any] = Any

    def start(self, ctx: Context, input: Input) -> Union[Output, Suspension]:
        """Begins."""
        raise NotImplementedError

    def resume(self, ctx: Context, input: Input, state: State, event: Event) -> Union[Output, Suspension]:
        """Goes on after a suspension."""
        raise NotImplementedError

    def cancel(self, ctx: Context, input: Input, state: Optional[State]) -> Any:
        """Stops the action: `state` is what it suspended with, None if its call was cut off."""
        raise NotImplementedError

    def resume_cancel(self, ctx: Context, input: Input, state: Any, event: Event) -> Any:
        """Goes on with the cancel after a suspension."""
        raise NotImplementedError

    def rollback(self, ctx: Context, input: Input, output: Optional[Output]) -> Any:
        """Takes the effect back: `output` is None if `start` never got that far."""
        raise NotImplementedError

    def resume_rollback(self, ctx: Context, input: Input, output: Optional[Output], state: Any, event: Event) -> Any:
        """Goes on with the rollback after a suspension."""
        raise NotImplementedError

    def find(self, ctx: Context, input: Input) -> Union[Output, Suspension, None]:
        """Looks, and only looks, for what the idempotency key came to; None if the effect never happened."""
        raise NotImplementedError


@dataclass
class Answer:
    """An outcome as it leaves the component: the output as JSON, or a suspension with its state encoded."""

    done: Optional[str] = None
    suspended: Optional[Suspension] = None


@dataclass(init=False)
class Plugin:
    """A plugin: a name and its actions. The plugin's module has one called ``plugin``."""

    name: str
    version: str
    description: str
    actions: Sequence[type[Action[Any, Any, Any]]]
    _entries: dict[str, "_Entry"] = field(repr=False)

    # Not made by `dataclass`: a traceback would go through a file `<string>`.
    def __init__(self, name: str, version: str, description: str, actions: Sequence[type[Action[Any, Any, Any]]]) -> None:
        self.name, self.version, self.description, self.actions = name, version, description, actions
        entries = [_Entry(action) for action in self.actions]
        for name in [self.name, *(entry.action.name for entry in entries)]:
            if not _NAME.fullmatch(name):
                raise TypeError(f"`{name}` is no name: write [a-z][a-z0-9_-]{{0,62}}")
        self._entries = {entry.action.name: entry for entry in entries}

    def manifest(self) -> dict[str, Any]:
        """What the plugin says of itself. Pure."""
        actions = {name: entry.manifest() for name, entry in self._entries.items()}
        return {"name": self.name, "version": self.version, "contract": CONTRACT, "description": self.description, "actions": actions}

    def entry(self, name: str) -> "_Entry":
        """An action with its types."""
        if name in self._entries:
            return self._entries[name]
        known = ", ".join(self._entries)
        raise Failure.invalid("unknown-action", f"`{self.name}` has no action `{name}`; it has {known}").never()

    def start(self, host: Host, call: Call) -> Answer:
        """Begins an action."""
        entry = self.entry(call.action)
        return entry.write("start", call, entry.action.start(entry.context(host, call), entry.input_of(call)))

    def resume(self, host: Host, call: Call, state: bytes, event: Event) -> Answer:
        """Goes on with the operation that was suspended."""
        entry = self.entry(call.action)
        name = _RESUMES[call.operation]
        if not entry.has(name):
            raise Failure.internal("never-suspends", f"`{call.action}` was resumed but has no `{name}`").never()
        given: list[Any] = [entry.context(host, call), entry.input_of(call)]
        if call.operation == "rollback":
            given.append(entry.output_of(call))
        given += [_read_state(entry.state_of(call.operation), state), event]
        return entry.write(name, call, getattr(entry.action, name)(*given))

    def cancel(self, host: Host, call: Call, state: Optional[bytes]) -> Answer:
        """Stops an action."""
        entry = self._with(call, "cancel")
        suspended = None if state is None else _read_state(entry.state_of("start"), state)
        return entry.write("cancel", call, entry.action.cancel(entry.context(host, call), entry.input_of(call), suspended))

    def rollback(self, host: Host, call: Call) -> Answer:
        """Takes an action's effect back."""
        entry = self._with(call, "rollback")
        given = (entry.context(host, call), entry.input_of(call), entry.output_of(call))
        return entry.write("rollback", call, entry.action.rollback(*given))

    def find(self, host: Host, call: Call) -> Optional[Answer]:
        """Looks for the effect of an idempotency key."""
        entry = self._with(call, "find")
        found = entry.action.find(entry.context(host, call), entry.input_of(call))
        return None if found is None else entry.write("find", call, found)

    def _with(self, call: Call, operation: str) -> "_Entry":
        entry = self.entry(call.action)
        if entry.has(operation):
            return entry
        raise Failure.internal("unknown-operation", f"`{call.action}` has no {operation}").never()


class _Entry:
    """An action with the types that it was declared with."""

    def __init__(self, kind: type[Action[Any, Any, Any]]) -> None:
        if isinstance(kind, Action):
            name = type(kind).__name__
            raise TypeError(f"`actions` has an instance, {name}(), where the class is meant: {name}")
        if not (isinstance(kind, type) and issubclass(kind, Action)):
            raise TypeError(f"`actions` has {kind!r}, which is no Action: class Submit(Action[Input, Output, State])")
        bases = [base for base in getattr(kind, "__orig_bases__", ()) if typing.get_origin(base) is Action]
        if not bases:
            raise TypeError(f"{kind.__name__} does not say its types: class {kind.__name__}(Action[Input, Output, State])")
        for name in ("name", "description", "effect"):
            if not hasattr(kind, name):
                raise TypeError(f"{kind.__name__} has no `{name}`")
        if not isinstance(kind.effect, Effect):
            raise TypeError(f"{kind.__name__}: `effect` is Effect.READ, Effect.IDEMPOTENT_WRITE or Effect.WRITE")
        roles = kind.connections
        if not isinstance(roles, dict) or not all(isinstance(role, Role) for role in roles.values()):
            raise TypeError(f"{kind.__name__}: `connections` has roles by their names: {{\"jobs\": Role(\"The job service.\", [\"POST /jobs\"])}}")
        _has_no_misspelt_operation(kind)
        self.action = kind()
        self.input, self.output, self.state = typing.get_args(bases[0])
        if not self.has("start"):
            raise TypeError(f"{kind.__name__} has no `start`")
        # A type that cannot be is told where the plugin is declared, not in the middle of a step.
        for it in (self.input, self.output):
            schema.schema_of(it)
        for state in (self.state, kind.cancel_state, kind.rollback_state):
            schema.refuse_undeclared(state)
            if dataclasses.is_dataclass(state):
                schema.hints_of(state)

    def has(self, operation: str) -> bool:
        """Whether the action defines it."""
        return getattr(type(self.action), operation) is not getattr(Action, operation)

    def manifest(self) -> dict[str, Any]:
        """As in the manifest."""
        action = self.action
        return {
            "description": action.description,
            "input": schema.schema_of(self.input),
            "output": schema.schema_of(self.output),
            "effect": action.effect.value,
            **{operation: self.has(operation) for operation in ("cancel", "rollback", "find")},
            "connections": {name: role.manifest() for name, role in action.connections.items()},
            "limits": action.limits.manifest(),
        }

    def context(self, host: Host, call: Call) -> Context:
        """What a call of the action has in hand."""
        return Context(host, call, self.action.connections)

    def input_of(self, call: Call) -> Any:
        """The call's input."""
        try:
            return schema.decode(self.input, json.loads(call.input))
        except ValueError as error:
            raise Failure.invalid("input", f"the input of `{call.action}`: {error}").never() from error

    def output_of(self, call: Call) -> Any:
        """The forward operation's output."""
        if call.output is None:
            return None
        try:
            return schema.decode(self.output, json.loads(call.output))
        except ValueError as error:
            raise Failure.internal("output", f"the output that `{call.action}` gave: {error}").never() from error

    def write(self, name: str, call: Call, outcome: Any) -> Answer:
        """What the function `name` of the action came to, as it leaves the component."""
        if not isinstance(outcome, Suspension):
            self._gives(name, outcome)
            return Answer(done=json.dumps(schema.encode(outcome), ensure_ascii=False))
        state = json.dumps(schema.encode(outcome.state), ensure_ascii=False).encode()
        limit = min(self.action.limits.state_bytes or _STATE_BYTES_MAX, _STATE_BYTES_MAX)
        if len(state) > limit:
            message = f"the state of `{self.action.name}` has {len(state)} bytes; a suspension carries {limit} at most"
            raise Failure.internal("state-too-large", message).never()
        resume = _RESUMES[call.operation]
        if not self.has(resume):
            message = f"`{self.action.name}` suspends in `{name}` but has no `{resume}`: it could never go on"
            raise Failure.internal("never-suspends", message).never()
        self._can_be_resumed(name, call.operation, outcome.state, state)
        return Answer(suspended=Suspension(state, outcome.wakes, outcome.status))

    def state_of(self, operation: str) -> Any:
        """The type of what a suspension of the operation carries."""
        kind = {"start": self.state, "cancel": self.action.cancel_state, "rollback": self.action.rollback_state}[operation]
        return type(None) if kind is None else kind

    def _gives(self, name: str, outcome: Any) -> None:
        """Whether what came back can be meant."""
        if isinstance(outcome, Failure):
            raise Failure.internal("failure-returned", f"`{self.action.name}`: `{name}` returned a Failure: `raise` it").never()
        if outcome is not None or name not in ("start", "resume"):
            return
        try:
            schema.decode(self.output, None)
        except schema.Mismatch:
            message = f"`{self.action.name}`: `{name}` gave None: is a `return` missing?"
            raise Failure.internal("no-output", message).never() from None

    def _can_be_resumed(self, name: str, operation: str, given: Any, state: bytes) -> None:
        """A state of another type is told where it suspends, not days later where it is resumed."""
        kind = self.state_of(operation)
        if kind is Any and dataclasses.is_dataclass(given):
            its = type(given).__name__
            says = f"`{operation}_state = {its}`" if operation != "start" else f"`Action[…, …, {its}]`"
            message = f"`{self.action.name}` suspends in `{name}` with a {its}, and would be resumed with a dict: write {says}"
            raise Failure.internal("state", message).never()
        try:
            schema.decode(kind, json.loads(state))
        except schema.Mismatch as error:
            suspends, declares = f"`{self.action.name}` suspends in `{name}` with", _STATES[operation]
            message = (
                f"{suspends} a state, but its {declares} is None" if kind is type(None)
                else f"{suspends} another state than its {declares}, {getattr(kind, '__name__', kind)}: {error}"
            )
            raise Failure.internal("state", message).never() from None


def _has_no_misspelt_operation(kind: type) -> None:
    """A function that is nearly called as an operation is would never be called, and nobody would know."""
    for base in kind.__mro__[: kind.__mro__.index(Action)]:
        for name, value in vars(base).items():
            if name.startswith("_") or name in _OPERATIONS or not callable(value):
                continue
            near = next((it for it in _OPERATIONS if _nearly_the_same(name, it)), None)
            if near:
                raise TypeError(
                    f"{kind.__name__} has a `{name}`, which is no operation: did you mean `{near}`? "
                    f"(a function of your own that is to be called like this is `_{name}`)"
                )


def _nearly_the_same(one: str, other: str) -> bool:
    one, other = one.replace("_", "").lower(), other.replace("_", "")
    return sorted(one) == sorted(other) or difflib.SequenceMatcher(None, one, other).ratio() >= 0.85


def _read_state(kind: Any, state: bytes) -> Any:
    try:
        return schema.decode(kind, json.loads(state))
    except ValueError as error:
        raise Failure.internal("state", f"the suspended state cannot be read: {error}").never() from error
