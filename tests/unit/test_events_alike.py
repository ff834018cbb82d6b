"""API.md section 3: an event of ours and one of the original give the same answers.

Each probe is an expression that both sides evaluate: ``e`` is the module of events, ``A``, ``B`` and ``C`` are
events of a user's, ``F`` makes a failure of what its exception became in JSON.
"""

# pyright: reportInvalidTypeForm=false

from __future__ import annotations

import copy
import importlib
import re
from typing import Any

import pytest
from pydantic import BaseModel, PrivateAttr

PROBES = {
    "repr": "a",
    "str": "str(a)",
    "y": "a.y",
    "item": 'a["y"]',
    "itemx": 'a["x"]',
    "get": 'a.get("x","d")',
    "private": "a._p",
    "contains": '("x" in a,"y" in a)',
    "keys": "list(a.keys())",
    "values": "list(a.values())",
    "items": "list(a.items())",
    "len": "len(a)",
    "iteration": "list(a)",
    "to_dict": "a.to_dict()",
    "dump": "a.model_dump()",
    "json": "a.model_dump_json()",
    "missing": "a.zz",
    "missingitem": 'a["zz"]',
    "eq": "(A(x=1,y=2)==A(x=1,y=2),A(x=1,y=2)==A(x=1,y=3),A(x=1,_p=1)==A(x=1,_p=2))",
    "bool": "(bool(e.Event()),bool(e.StopEvent()))",
    "wrong": 'A(x="q")',
    "field missing": "A()",
    "copy": "copy.copy(a)",
    "deepcopy": "copy.deepcopy(a).to_dict()",
    "model_copy": 'a.model_copy(update={"x":5})',
    "validate": 'A.model_validate({"x":1,"y":3})',
    "validate_data": 'A.model_validate({"x":1,"_data":{"y":3}}).to_dict()',
    "positional": "e.Event(1)",
    "ev pos dict": 'e.Event({"a":1})',
    "stop": "e.StopEvent(result=5)",
    "stoppos": "e.StopEvent(5)",
    "stopstr": "str(e.StopEvent(result=[1]))",
    "stopdump": "e.StopEvent(result=5,z=1).model_dump()",
    "stopnone": "e.StopEvent().model_dump()",
    "stopkw": "e.StopEvent(5,z=1)",
    "stopresult": "e.StopEvent(z=1).result",
    "stoprepr": '(repr(e.StopEvent(result=\'a\',z=1)),repr(B(text="t",q=1)),repr(B()),str(B(text="x")))',
    "B": 'B(text="b",result=4).result',
    "C": "(C().result,C(),str(C()),C().model_dump())",
    "stopvalid": 'e.StopEvent.model_validate({"result":7}).result',
    "stopvalidjson": 'e.StopEvent.model_validate_json(\'{"result":7,"_data":{"z":1}}\')',
    "stopjson": 'e.StopEvent(result={"a":1}).model_dump_json()',
    "timedout": 'e.WorkflowTimedOutEvent(timeout=1,active_steps=["a"])',
    "failed": 'e.WorkflowFailedEvent(step_name="s",exception=ValueError("v"))',
    "faileddump": 'e.WorkflowFailedEvent(step_name="s",exception=ValueError("v")).model_dump()',
    "failedback": 'F({"exception_type":"builtins.ValueError","exception_message":"v"})',
    "failedunknown": 'F({"exception_type":"no.Such","exception_message":"m"})',
    "failedeval": 'F({"exception_type":"builtins.eval","exception_message":"1+1"})',
    "failedunicode": 'F({"exception_type":"builtins.UnicodeDecodeError","exception_message":"1+1"})',
    "failedbad": "F(5)",
    "failedbase": 'F({"exception_type":"builtins.KeyboardInterrupt","exception_message":"m"})',
    "unrec": '(e.UnreconstructedException("m",original_type="a.B"),str(e.UnreconstructedException("m")))',
    "state": 'e.StepStateChanged(name="s",step_state=e.StepState.RUNNING,worker_id="0",input_event_name="I")',
    "statedump": 'e.StepStateChanged(name="",step_state="running",worker_id="",input_event_name="").model_dump()',
    "states": "[(s.name,s.value) for s in e.StepState]",
    "unhandled": 'e.UnhandledEvent(event_type="A",qualified_name="q.A",idle=True).model_dump()',
    "idle": "e.WorkflowIdleEvent()",
    "collect": 'e.CollectionReleaseEvent(events=[e.Event(a=1)],stream_id="s",binding_id="b").model_dump()',
    "collectback": 'again(e.CollectionReleaseEvent(events=[e.Event(a=1)],stream_id="s",binding_id="b"))',
    "collectempty": "e.CollectionReleaseEvent()",
    "setattr": '(setattr(a,"new",5),a["new"],a.to_dict())',
    "setitem": '(a.__setitem__("w",1),a.w)',
    "setfield": '(setattr(a,"x",8),a.x)',
    "delattr": 'delattr(a,"new")',
    "delitem": 'a.__delitem__("w")',
    "dyn dump": "e.Event(a=e.Event(b=1)).model_dump()",
    "dunder": "a.__foo__",
    "field names": 'e.Event(_data={"k":1}).to_dict()',
    "hasattr": 'hasattr(a,"qq")',
    "schema": "sorted(e.StopEvent.model_json_schema())",
    "hash": "hash(a)",
    "dir": '"y" in dir(a)',
    "get none": 'a.get("nope")',
    "serializable event": "M(event=e.Event(k=1)).model_dump()",
    "serializable event back": "M.model_validate(M(event=e.Event(k=1)).model_dump()).event.to_dict()",
    "serializable event is one": "M(event=5)",
    "serializable optional": "M(event=e.Event(), maybe=None).maybe",
    "serializable type": "M(event=e.Event(), kind=e.StartEvent).model_dump()['kind']",
    "serializable type back": "M(event=e.Event(), kind=e.StartEvent.__module__ + '.StartEvent').kind",
    "serializable type is one": "M(event=e.Event(), kind='builtins.int')",
    "serializable optional exception": "M(event=e.Event(), error=None).error",
}

BETTER = {
    "stopdump": "undeclared values of a StopEvent are dumped as those of any event; the original loses them",
    "failedbad": "what is no exception is a ValidationError, not whatever subscripting raises",
    "positional": "the class named in the text is the one that takes the values",
    "ev pos dict": "the class named in the text is the one that takes the values",
}


def answers(root: str) -> dict[str, str]:
    e = importlib.import_module(f"{root}.events")

    class A(e.Event):
        x: int
        _p: int = PrivateAttr(default=3)

    class B(e.StopEvent):
        text: str = "a"

    class C(e.StopEvent):
        def _get_result(self) -> Any:
            return 42

    class M(BaseModel):
        event: e.SerializableEvent
        maybe: e.SerializableOptionalEvent = None
        kind: e.SerializableEventType = e.Event
        error: e.SerializableOptionalException = None

    def failure(exception: object) -> object:
        return e.WorkflowFailedEvent.model_validate({"step_name": "s", "exception": exception}).exception

    def again(event: Any) -> Any:
        return type(event).model_validate(event.model_dump())

    scope = {"again": again, "F": failure, "e": e, "A": A, "B": B, "C": C, "M": M, "copy": copy, "a": A(x=1, y=2, _p=9)}
    return {name: answer(probe, scope).replace(f"{root}.", "") for name, probe in PROBES.items()}


def answer(probe: str, scope: dict[str, Any]) -> str:
    try:
        return repr(eval(probe, scope))
    except Exception as error:
        # The texts of what the original raises by itself are worded anew.
        return f"{type(error).__name__}: {kind_of(str(error))}"


def kind_of(text: str) -> str:
    found = re.search(r"^\d+ validation errors? for .*", text)
    return found.group() if found else text


@pytest.fixture(scope="module")
def both() -> tuple[dict[str, str], dict[str, str]]:
    return answers("workflows"), answers("broker_wf")


@pytest.mark.parametrize("name", [name for name in PROBES if name not in BETTER])
def test_an_event_answers_as_the_originals_does(name: str, both: tuple[dict[str, str], dict[str, str]]) -> None:
    theirs, ours = both
    assert ours[name] == theirs[name]


@pytest.mark.parametrize("name", BETTER)
def test_an_answer_that_is_said_to_be_better_is_another(name: str, both: tuple[dict[str, str], dict[str, str]]) -> None:
    theirs, ours = both
    assert ours[name] != theirs[name]
