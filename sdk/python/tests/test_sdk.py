import sys
import tempfile
import traceback
import types
import unittest
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from importlib import util
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

from windlass_sdk import Action, Effect, Failure, FailureClass, Field, Limits, Mismatch, Plugin, Role, path, suspend
from windlass_sdk.failure import raised
from windlass_sdk.schema import decode, encode, schema_of
from windlass_sdk.testing import MockHost, Reply, TestStep, TransportError


class Colour(Enum):
    RED = "red"


@dataclass
class Part:
    name: Optional[str]
    colour: Colour = Colour.RED


@dataclass
class Build:
    job: Annotated[str, Field("What.", min_length=1, pattern="^[a-z]+$")]
    retries: Annotated[int, Field(minimum=0, maximum=3)] = 1
    labels: dict[str, str] = field(default_factory=dict)
    parts: Annotated[list[Part], Field(max_items=2)] = field(default_factory=list)
    mode: Literal["fast", 1] = "fast"


@dataclass
class Migration:
    from_: int
    to_: int
    class_: str = "quick"


class Schemas(unittest.TestCase):
    def test_a_dataclass_is_a_json_schema(self):
        schema = schema_of(Build)
        self.assertEqual(schema["required"], ["job"])
        self.assertEqual(schema["additionalProperties"], False)
        self.assertEqual(schema["properties"]["job"], {"type": "string", "description": "What.", "minLength": 1, "pattern": "^[a-z]+$"})
        self.assertEqual(schema["properties"]["retries"], {"type": "integer", "minimum": 0, "maximum": 3, "default": 1})
        self.assertEqual(schema["properties"]["parts"]["items"]["properties"]["colour"], {"enum": ["red"], "default": "red"})

    def test_values_are_read_with_their_defaults_and_written_back(self):
        build = decode(Build, {"job": "a", "parts": [{"name": None}]})
        self.assertEqual(build, Build("a", 1, {}, [Part(None)]))
        self.assertEqual(encode(build)["parts"], [{"name": None, "colour": "red"}])
        self.assertEqual(decode(float, 1), 1.0)
        self.assertEqual(decode(int, 2.0), 2)

    def test_a_word_of_python_s_own_is_a_field_with_a_line_after_it(self):
        schema = schema_of(Migration)
        self.assertEqual((list(schema["properties"]), schema["required"]), (["from", "to_", "class"], ["from", "to_"]))
        value = {"from": 41, "to_": 42, "class": "slow"}
        self.assertEqual(decode(Migration, value), Migration(41, 42, "slow"))
        self.assertEqual(encode(Migration(41, 42, "slow")), value)
        with self.assertRaisesRegex(Mismatch, "the field `from` is missing"):
            decode(Migration, {"to_": 42})
        with self.assertRaisesRegex(Mismatch, "there is no field `from_`"):
            decode(Migration, {"from": 41, "to_": 42, "from_": 41})

    def test_what_is_not_as_its_type_says_names_the_place(self):
        for value, message in [
            (7, "7 is no object"),
            ({}, "the field `job` is missing"),
            ({"job": ""}, "job: has fewer than 1 characters"),
            ({"job": "A"}, "job: does not match ^[a-z]+$"),
            ({"job": "a", "retries": True}, "retries: True is no integer"),
            ({"job": "a", "retries": 4}, "retries: is more than 3"),
            ({"job": "a", "labels": {"x": 1}}, "labels.x: 1 is no string"),
            ({"job": "a", "parts": [{"name": "x"}, {"name": 1}]}, "parts[1].name: 1 is no string"),
            ({"job": "a", "parts": [{"name": "x", "colour": "blue"}]}, "parts[0].colour: 'blue' is none of 'red'"),
            ({"job": "a", "mode": True}, "mode: True is none of 'fast', 1"),
            ({"job": "a", "jbo": 1}, "there is no field `jbo`"),
        ]:
            with self.subTest(value=value), self.assertRaises(Mismatch) as caught:
                decode(Build, value)
            self.assertEqual(str(caught.exception), message)
        self.assertEqual(decode(Part, {"name": "x", "more": 1}, strict=False), Part("x"))


@dataclass
class Nothing:
    pass


def doing(start, types=(Nothing, Any, Any), **more):
    """A plugin with one action that does this."""
    operations = {name: staticmethod(it) if callable(it) and not isinstance(it, type) else it for name, it in {"start": start, **more}.items()}

    class Act(Action[types]):
        name = "act"
        description = "Acts."
        effect = Effect.READ
        connections = {"app": Role("The application.", ["GET,POST /a/**"])}

    for name, it in operations.items():
        setattr(Act, name, (lambda function: lambda self, *given: function(*given))(it.__func__) if isinstance(it, staticmethod) else it)
    return Plugin("test", "1.0.0", "Tests.", [Act])


def step(start, types=(Nothing, Any, Any), **more):
    return TestStep(doing(start, types, **more), "act", {})


def host(**options):
    return MockHost({"app": "https://app.test/base"}, **options)


def get(at="/a/b"):
    return step(lambda ctx, input: ctx.connection("app").get(at).json())


def imported(source):
    """A module of this source, from a file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "misspelt.py")
        file.write_text(source, encoding="utf-8")
        spec = util.spec_from_file_location("misspelt", file)
        sys.modules["misspelt"] = module = util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        finally:
            del sys.modules["misspelt"]


class Plugins(unittest.TestCase):
    def failure(self, step, mock):
        with self.assertRaises(Failure) as caught:
            step.run(mock)
        return caught.exception

    def test_the_manifest_says_what_an_action_is_and_has(self):
        action = doing(lambda *_: None, find=lambda *_: None, limits=Limits(cpu=10, memory_bytes=1024)).manifest()["actions"]["act"]
        self.assertEqual(action["connections"]["app"]["requests"], [{"methods": ["GET", "POST"], "path": "/a/**"}])
        self.assertEqual((action["cancel"], action["rollback"], action["find"]), (False, False, True))
        self.assertEqual(action["limits"], {"cpu_ms": 10_000, "memory_bytes": 1024})

    def test_a_declaration_that_cannot_be_meant_is_refused(self):
        with self.assertRaisesRegex(TypeError, "does not say its types"):
            Plugin("test", "1.0.0", "Tests.", [type("Bare", (Action,), {})])
        bare = {"name": "bare", "description": "Bare.", "effect": "raed"}
        with self.assertRaisesRegex(TypeError, "Bare: `effect` is Effect.READ"):
            Plugin("test", "1.0.0", "Tests.", [types.new_class("Bare", (Action[None, None, None],), {}, lambda it: it.update(bare))])
        with self.assertRaises(TypeError) as caught:
            doing(lambda *_: None, connections=[Role("The application.", ["GET /a"])])
        self.assertEqual(str(caught.exception), 'Act: `connections` has roles by their names: {"jobs": Role("The job service.", ["POST /jobs"])}')
        act = doing(lambda *_: None).actions[0]
        for actions, message in [
            ([act()], "`actions` has an instance, Act(), where the class is meant: Act"),
            ([Part], "Part'>, which is no Action: "),
            (["act"], "`actions` has 'act', which is no Action: "),
        ]:
            with self.assertRaises(TypeError) as caught:
                Plugin("test", "1.0.0", "Tests.", actions)
            self.assertIn(message, str(caught.exception))
        with self.assertRaisesRegex(TypeError, "is no name"):
            Plugin("Test", "1.0.0", "Tests.", [])
        with self.assertRaisesRegex(TypeError, "what wakes the step"):
            suspend(status="x")
        with self.assertRaisesRegex(TypeError, "is no request"):
            Role("x", ["/a"]).manifest()
        for wrong, right in [("rolback", "rollback"), ("cancle", "cancel"), ("resumeCancel", "resume_cancel")]:
            with self.assertRaisesRegex(TypeError, f"`{wrong}`, which is no operation: did you mean `{right}`"):
                doing(lambda *_: None, **{wrong: lambda *_: None})
        doing(lambda *_: None, _rolback=lambda *_: None, restart=lambda *_: None, look=lambda *_: None)

    def test_a_class_that_is_no_whole_dataclass_is_refused(self):
        class Bare:
            title: str

        class More(Part):
            title: str

        @dataclass
        class Untyped:
            title: str
            LONG = 9
            _hidden = 1
            count = 0

            @property
            def long(self):
                return len(self.title) > self.LONG

        for kind, message in [
            (Bare, "`@dataclass` is missing above Bare ("),
            (More, "`@dataclass` is missing above More ("),
            (Untyped, "`Untyped.count` has no type, so it is no field: `count: int = …` ("),
        ]:
            for types in [(kind, Any, Any), (Nothing, list[kind], Any), (Nothing, Any, kind)]:
                with self.subTest(types=types), self.assertRaises(TypeError) as caught:
                    doing(lambda *_: None, types)
                self.assertTrue(str(caught.exception).startswith(f"{message}{__file__}, line "), caught.exception)

    def test_names_are_those_that_a_host_takes(self):
        for name in ["a", "create-change", "eu_1", "x" * 63]:
            Plugin(name, "1.0.0", "Tests.", [])
        for name in ["", "1a", "_a", "Build", "a b", "ä", "a\n", "x" * 64]:
            with self.assertRaises(TypeError) as caught:
                Plugin(name, "1.0.0", "Tests.", [])
            self.assertEqual(str(caught.exception), f"`{name}` is no name: write [a-z][a-z0-9_-]{{0,62}}")

    def test_a_misspelt_member_names_those_there_are(self):
        with self.assertRaises(AttributeError) as caught:
            Effect.WRIT
        self.assertEqual(str(caught.exception), "`Effect` has no `WRIT`; it has READ, IDEMPOTENT_WRITE, WRITE")
        with self.assertRaisesRegex(AttributeError, "`FailureClass` has no `FOO`; it has TRANSIENT, RATE_LIMITED, .*, INTERNAL"):
            FailureClass.FOO
        self.assertIs(Effect.WRITE, Effect("write"))
        self.assertFalse(hasattr(Effect, "_repr_html_"))

    def told(self, source):
        """The traceback of a module's import."""
        try:
            imported(source)
        except Exception:
            return traceback.format_exc()
        self.fail("it is imported")

    def test_a_misspelt_type_has_the_line_of_the_module(self):
        source = (
            "from __future__ import annotations\n"
            "from dataclasses import dataclass\n"
            "import typing\n"
            "from windlass_sdk import Action, Effect, Plugin\n"
            "@dataclass\n"
            "class Input:\n"
            "    title: str\n"
            "    jobs: list[str]\n"
            "class Act(Action[Input, None, None]):\n"
            "    name, description, effect = 'act', 'Acts.', Effect.READ\n"
            "    def start(self, ctx, input): ...\n"
            "plugin = Plugin('test', '1.0.0', 'Tests.', [Act])\n"
        )
        imported(source)
        imported(source.replace("Action[Input, None, None]", "Action[None, None, Input]"))
        for wrong, problem in [
            ("list[strng]", "name 'strng' is not defined"), ("typing.Lst[str]", "module 'typing' has no attribute 'Lst'"),
        ]:
            misspelt = source.replace("list[str]", wrong)
            for module in [misspelt, misspelt.replace("Action[Input, None, None]", "Action[None, None, Input]")]:
                with self.subTest(module):
                    told = self.told(module)
                    self.assertRegex(told, f"\nTypeError: the type of `Input.jobs`: {problem} \\(/.*/misspelt.py, line 8\\)\n$")
                    self.assertIn('misspelt.py", line 12, in <module>', told)
                    self.assertNotIn("<string>", told)

    def test_statuses_become_failures_of_the_class_that_a_policy_can_act_on(self):
        for status, expected in {
            302: "internal", 400: "invalid", 401: "unauthenticated", 403: "forbidden", 404: "not-found", 405: "internal",
            408: "timed-out", 409: "conflict", 422: "invalid", 423: "conflict", 429: "rate-limited", 500: "transient",
            501: "internal", 502: "transient", 503: "transient", 504: "timed-out", 599: "transient",
        }.items():
            mock = host()
            mock.reply("GET /a/b", Reply.status(status))
            failure = self.failure(get(), mock)
            self.assertEqual((failure.failure_class.value, failure.code), (expected, f"http-{status}"))

    def test_the_message_is_what_the_server_said_never_the_query(self):
        for body, message in [
            ('{"error":{"message":"No record","detail":"gone"}}', "No record – gone"),
            ('{"message":"no"}', "no"),
            ('{"error":"invalid_client","error_description":"who?"}', "invalid_client"),
            ('{"errors":[{"message":"first"}]}', "first"),
            ("<html><style>x{}</style><h1>HTTP  403</h1>No crumb", "HTTP 403 No crumb"),
            ("plain\nwords", "plain words"),
        ]:
            mock = host()
            mock.reply("GET /a/b", Reply.text(404, body))
            self.assertEqual(self.failure(get("/a/b?q=1"), mock).message, f"GET https://app.test/base/a/b was answered with 404: {message}")

    def test_a_server_that_asks_for_time_gets_it(self):
        dates = {"Date": "Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After": "Sun, 06 Nov 1994 08:50:00 GMT"}
        for headers, advice in [
            ({"Retry-After": "7"}, timedelta(seconds=7)),
            (dates, timedelta(seconds=23)),
            ({"Retry-After": "99999999999"}, timedelta(days=1)),
            ({"Retry-After": "soon"}, "by-policy"),
        ]:
            mock = host()
            mock.reply("GET /a/b", Reply.status(429, headers))
            self.assertEqual(self.failure(get(), mock).advice, advice)

    def test_no_answer_is_a_failure_too_and_a_denial_is_never_tried_again(self):
        denied = self.failure(get("/elsewhere"), host())
        self.assertEqual((denied.failure_class, denied.code, denied.advice), (FailureClass.FORBIDDEN, "request-denied", "never"))
        mock = host()
        mock.reply("GET /a/b", Reply.error("timed-out"))
        self.assertTrue(self.failure(get(), mock).passes)
        missing = "no connection is bound to the role `app`: a workflow's step names one in `connection`, a test gives its host one"
        misspelt = step(lambda ctx, input: ctx.connection("apps"))
        for failure, message in [
            (self.failure(get(), MockHost()), missing),
            (self.failure(misspelt, host()), "the action has no role `apps`; it declares `app`"),
        ]:
            self.assertEqual((failure.code, failure.message), ("connection-missing", message))

    def test_a_failed_request_says_whether_it_may_have_had_its_effect(self):
        def failed(answer):
            mock = host()
            mock.reply("GET /a/b", answer)
            failure = self.failure(get(), mock)
            return failure.code, failure.effect_unknown

        for kind, code, unknown in [
            ("interrupted", "interrupted", True), ("timed-out", "timed-out", True), ("too-large", "too-large", True),
            ("other", "transport", True), ("denied", "request-denied", False), ("not-connected", "not-connected", False),
            ("untrusted", "untrusted", False), ("bad-request", "bad-request", False),
        ]:
            self.assertEqual(failed(Reply.error(kind)), (code, unknown))
            self.assertIs(TransportError(kind, "x").effect_unknown, unknown)
        for status in [302, 400, 404, 408, 409, 429, 500, 501, 502, 503, 504, 599]:
            self.assertEqual(failed(Reply.status(status)), (f"http-{status}", status in [408, 500, 502, 504]))
        self.assertFalse(Failure.timed_out("timed-out", "no request").effect_unknown)

    def test_a_request_without_an_answer_ends_the_test_and_says_what_there_is(self):
        def without(mock, why):
            with self.assertRaises(AssertionError) as caught:
                get("/a/b?q=1").run(mock)
            self.assertEqual(str(caught.exception), f"the mock host has no answer to GET /a/b {{'q': '1'}}: {why}")

        without(host(), "none was scripted")
        mock = host()
        mock.reply("POST /a/b", Reply.status(201))
        mock.always("GET /a/c", Reply.status(200))
        mock.always("POST /a/b", Reply.status(409))
        without(mock, "there is POST /a/b, GET /a/c")
        mock = host()
        mock.reply("GET /a/b", Reply.json(200, {}))
        get("/a/b?q=1").run(mock)
        without(mock, "each `reply` is given once, and all were; `always` is given again and again")
        mock = MockHost({"app": "https://app.test/"})
        mock.reply("GET /a/b", Reply.json(200, 1))
        self.assertEqual(get().run(mock), 1)
        with self.assertRaises(TransportError) as caught:
            host().send(urllib.request.Request("https://app.testing/a"), 1.0)
        self.assertEqual(caught.exception.message, "https://app.testing/a is below no connection: there is `app` at https://app.test/base")

    def test_an_answer_of_another_shape_names_the_field(self):
        mock = host()
        mock.reply("GET /a/b", Reply.json(200, {"name": 7}))
        wrong = step(lambda ctx, input: ctx.connection("app").get("/a/b").json(Part))
        self.assertEqual(
            self.failure(wrong, mock).message,
            "the answer to GET https://app.test/base/a/b is not what was expected: name: 7 is no string",
        )

    def test_requests_are_as_written(self):
        mock = host()
        mock.reply("POST /a/b%2Fc", Reply.json(200, 1))
        step(lambda ctx, input: ctx.connection("app").post(
            path("a", "b/c"), data={"x": "y z"}, query={"q": "ä&", "n": 1}, idempotency_key=True).json()).run(mock)
        request = mock.requests[0]
        self.assertEqual((request.query, request.body), ({"q": "ä&", "n": "1"}, b"x=y+z"))
        self.assertEqual(request.headers.get("idempotency-key"), TestStep.key("start"))

    def test_an_output_and_an_input_are_as_declared(self):
        failure = self.failure(step(lambda ctx, input: {"name": 7}, (Nothing, Part, Any)), host())
        self.assertEqual(
            (failure.failure_class, failure.code, failure.message),
            (FailureClass.INTERNAL, "output-breaks-schema", 'what `act` gives is not its output: name: 7 is no string: {"name": 7}'),
        )
        given = TestStep(doing(lambda ctx, input: 1, (Part, Any, Any)), "act", {"name": 7})
        with self.assertRaisesRegex(Mismatch, "^what the test gives `act` is not its input: name: 7 is no string$"):
            given.run(host())

    def test_what_has_no_meaning_as_a_text_is_not_sent_as_one(self):
        def failing(*segments, **options):
            act = step(lambda ctx, input: ctx.connection("app").post(path("a", *segments), **options))
            failure = self.failure(act, host())
            self.assertEqual((failure.failure_class, failure.code), (FailureClass.INTERNAL, "no-text"))
            return failure.message

        wanted = "write a text, a number or a bool, or leave it out"
        self.assertEqual(failing(None), f"segment 2 of the path is None: {wanted}")
        self.assertEqual(failing("b", data={"artifact": None}), f"`artifact` in the form is None: {wanted}")
        self.assertEqual(failing("b", query={"of": ["x"]}), f"`of` in the query is a list: {wanted}")
        self.assertEqual(failing("b", query={"of": float("nan")}), f"`of` in the query is nan: {wanted}")
        self.assertEqual(failing("b", headers={"X-Of": None}), f"the header `X-Of` is None: {wanted}")
        mock = host()
        mock.reply("POST /a/red/1", Reply.json(200, 1))
        step(lambda ctx, input: ctx.connection("app").post(
            path("a", Colour.RED, 1), data={"a": True, "b": 0, "c": ""}, headers={"X-Of": 1}).json()).run(mock)
        self.assertEqual((mock.requests[0].body, mock.requests[0].headers["x-of"]), (b"a=true&b=0&c=", "1"))

    def test_a_checkpoint_is_done_once_and_a_failure_is_not_recorded(self):
        times = []

        def part():
            times.append(1)
            if len(times) == 1:
                raise Failure.transient("lost", "the answer was lost")
            return Part(str(len(times)))

        mock = host()
        counted = step(lambda ctx, input: ctx.checkpoint("part", part, Part))
        self.assertEqual(self.failure(counted, mock).code, "lost")
        self.assertEqual([counted.run(mock)["name"], counted.run(mock)["name"]], ["2", "2"])

    def test_a_part_gives_the_first_time_what_it_gives_later(self):
        part = Part("x")
        for type, given in [(Part, part), (Any, {"name": "x", "colour": "red"}), (dict[str, str], {"name": "x", "colour": "red"})]:
            for keep in ["once", "checkpoint"]:
                kept = []
                counted = step(lambda ctx, input: kept.append(getattr(ctx, keep)("part", lambda: part, type)))
                mock = host()
                counted.run(mock)
                counted.run(mock)
                self.assertEqual(kept, [given, given])
        wrong = step(lambda ctx, input: ctx.once("part", lambda: part, str))
        mock = host()
        for _ in range(2):
            self.assertRegex(self.failure(wrong, mock).message, "^the checkpoint `part/[0-9a-f]+`: .* is no string$")

    def test_cancel_and_rollback_may_wait_too(self):
        patient = step(
            lambda ctx, input: suspend({"n": 1}, after=1, status="waits"),
            resume=lambda ctx, input, state, event: state,
            cancel=lambda ctx, input, state: suspend(["cancel", state], at=ctx.now() + timedelta(hours=1), status="waits"),
            resume_cancel=lambda ctx, input, state, event: [state, ctx.now().isoformat()],
            rollback=lambda ctx, input, output: suspend(["rollback"], after=1, status="waits"),
            resume_rollback=lambda ctx, input, output, state, event: [*state, output],
        )
        mock = host()
        suspended = patient.start(mock).suspended
        self.assertEqual(patient.cancel(mock, suspended), [["cancel", {"n": 1}], "2026-01-05T10:00:00+00:00"])
        self.assertEqual(patient.rollback(mock, "out"), ["rollback", "out"])

    def test_what_waits_and_could_never_go_on_fails_where_it_suspends(self):
        wait = lambda *_: suspend(after=1, status="waits")
        stuck = step(wait, cancel=wait, rollback=wait, find=wait)
        resumes = {"start": "resume", "find": "resume", "cancel": "resume_cancel", "rollback": "resume_rollback"}
        for operation, resume in resumes.items():
            with self.subTest(operation), self.assertRaises(Failure) as caught:
                getattr(stuck, operation)(host())
            failure = caught.exception
            self.assertEqual((failure.failure_class, failure.code, failure.advice), (FailureClass.INTERNAL, "never-suspends", "never"))
            self.assertEqual(failure.message, f"`act` suspends in `{operation}` but has no `{resume}`: it could never go on")
        with self.assertRaises(Failure) as caught:
            stuck.resume(host(), suspend(after=1, status="waits"))
        self.assertEqual(caught.exception.message, "`act` was resumed but has no `resume`")

    def test_a_return_that_is_missing_is_told(self):
        def fails(name, step):
            failure = self.failure(step, host())
            self.assertEqual((failure.code, failure.advice), ("no-output", "never"))
            self.assertEqual(failure.message, f"`act`: `{name}` gave None: is a `return` missing?")

        types, wait = (Nothing, Part, Any), suspend(after=1, status="waits")
        fails("start", step(lambda *_: None, types))
        fails("resume", step(lambda *_: wait, types, resume=lambda *_: None))
        for output in [None, Any, Optional[Part]]:
            self.assertIsNone(step(lambda *_: None, (Nothing, output, Any)).run(host()))
        self.assertIsNone(step(lambda *_: Part("x"), types, rollback=lambda *_: None).rollback(host()))
        returned = step(lambda *_: Failure.rejected("no", "no"))
        self.assertEqual(self.failure(returned, host()).message, "`act`: `start` returned a Failure: `raise` it")

    def test_an_exception_is_told_with_the_plugin_s_own_line(self):
        def of(operation):
            try:
                operation()
            except Exception as error:
                return raised(error)

        here = lambda: decode(Part, {"colour": 1}, "input")["no"]
        elsewhere = lambda: Path("/no/such/file").read_text()
        place = f"(test_sdk.py, line {here.__code__.co_firstlineno})"
        self.assertTrue(of(here).message.endswith(place), of(here).message)
        place = f"(test_sdk.py, line {elsewhere.__code__.co_firstlineno})"
        self.assertTrue(of(elsewhere).message.endswith(place), of(elsewhere).message)
        self.assertRegex(of(elsewhere).message, "^the plugin raised FileNotFoundError: ")
        # One that was never raised has been nowhere.
        self.assertEqual(raised(ValueError("bad")).message, "the plugin raised ValueError: bad")

    def test_a_state_of_another_type_is_told_where_it_suspends(self):
        def waits(state, declared, **more):
            wait = lambda *_: suspend(state, after=1, status="waits")
            more = {"resume": lambda *_: None, "resume_cancel": lambda *_: None, "resume_rollback": lambda *_: None, **more}
            return step(wait, (Nothing, Any, declared), find=wait, cancel=wait, rollback=wait, **more)

        begins, none = "`act` suspends in `{}` with ", "a state, but its State is None"
        another = "another state than its State, Part: "
        for operation, state, declared, more, message in [
            ("start", Part("x"), None, {}, none),
            ("find", "x", None, {}, none),
            ("start", "x", Part, {}, f"{another}'x' is no object"),
            ("start", None, Part, {}, f"{another}None is no object"),
            ("start", {"name": 7}, Part, {}, f"{another}name: 7 is no string"),
            ("cancel", "x", Part, {"cancel_state": None}, "a state, but its `cancel_state` is None"),
            ("rollback", "x", Part, {"rollback_state": int}, "another state than its `rollback_state`, int: 'x' is no integer"),
            ("start", Part("x"), Any, {}, "a Part, and would be resumed with a dict: write `Action[…, …, Part]`"),
            ("rollback", Part("x"), Part, {}, "a Part, and would be resumed with a dict: write `rollback_state = Part`"),
        ]:
            with self.subTest(operation, state=state), self.assertRaises(Failure) as caught:
                getattr(waits(state, declared, **more), operation)(host())
            self.assertEqual(caught.exception.message, begins.format(operation) + message)
            self.assertEqual((caught.exception.code, caught.exception.advice), ("state", "never"))
        for state, declared in [(None, None), (Part("x"), Part), ({"name": "x"}, Part), ("x", Any)]:
            self.assertIsNone(waits(state, declared).run(host()))

    def test_a_state_that_is_too_large_is_the_plugin_s_fault(self):
        large = step(lambda ctx, input: suspend("x" * 70_000, after=1, status="waits"))
        self.assertEqual(self.failure(large, host()).code, "state-too-large")

    def test_the_clock_only_moves_with_a_wake(self):
        now = step(lambda ctx, input: ctx.now().isoformat())
        self.assertEqual(now.run(host()), datetime(2026, 1, 5, 9, tzinfo=timezone.utc).isoformat())


if __name__ == "__main__":
    unittest.main()
