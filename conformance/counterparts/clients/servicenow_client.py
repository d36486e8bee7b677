"""Drives the simulated ServiceNow with pysnow, a client we did not write.

usage: servicenow_client.py HOST:PORT USER PASSWORD CLIENT_ID CLIENT_SECRET SIMULATOR_URL

Prints one line of JSON with what it saw. Any difference from what a ServiceNow does raises.
"""

import json
import os
import sys
import tempfile
import warnings

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
warnings.simplefilter("ignore")

import pysnow  # noqa: E402
import requests  # noqa: E402


def refused(call):
    """What a call that must fail is answered."""
    try:
        call()
    except requests.HTTPError as error:
        return error.response
    raise SystemExit("a call which must be refused was not")


def main():
    host, user, password, client_id, client_secret, url = sys.argv[1:7]
    client = pysnow.Client(host=host, user=user, password=password, use_ssl=False)
    changes = client.resource(api_path="/table/change_request")

    created = changes.create({
        "short_description": "Deploy payments 1.2.3",
        "correlation_id": "key-1",
        "correlation_display": "windlass",
        "assignment_group": "Payments",
        "type": "normal",
        "no_such_field": "x",
    }).one()
    assert created["number"] == "CHG0000001" and created["state"] == "-5", created
    assert "no_such_field" not in created
    assert len(created["sys_id"]) == 32
    by_key = {"correlation_id": "key-1"}
    assert changes.get(query=dict(by_key)).one()["sys_id"] == created["sys_id"]
    for index in range(4):
        changes.create({"short_description": f"other {index}"})
    query = pysnow.QueryBuilder().field("short_description").starts_with("other").AND().field("number").order_descending()
    found = changes.get(query=query, limit=2)
    numbers = [record["number"] for record in found.all()]
    assert numbers == ["CHG0000005", "CHG0000004"], numbers
    assert found.headers["X-Total-Count"] == "4", found.headers
    assert 'rel="next"' in found.headers["Link"], found.headers
    streamed = list(changes.get(query={"active": "true"}, stream=True, fields=["number", "state"]).all())
    assert len(streamed) == 5 and set(streamed[0]) == {"number", "state"}, streamed
    assert changes.get(query={"number": "CHG9999999"}).one_or_none() is None

    answer = refused(lambda: changes.update(dict(by_key), {"state": "-1"}).one())
    assert answer.status_code == 403 and "State model" in answer.json()["error"]["detail"], answer.text
    moved = changes.update(dict(by_key), {"state": "-4", "work_notes": "assess, please"}).one()
    assert moved["state"] == "-4" and moved["approval"] == "requested", moved

    approvals = client.resource(api_path="/table/sysapproval_approver")
    asked = list(approvals.get(query={"sysapproval": created["sys_id"]}, fields=["state", "approver.name"]).all())
    assert asked == [{"state": "requested", "approver.name": "Ben Okoro"}], asked
    answered = requests.post(f"{url}/_sim/approve", json={"change": "CHG0000001", "approved": True}, timeout=20)
    assert answered.json()["state"] == "-2", answered.text
    for state in ["-1", "0"]:
        changes.update(dict(by_key), {"state": state}).one()
    answer = refused(lambda: changes.update(dict(by_key), {"state": "3"}).one())
    assert "mandatory" in answer.json()["error"]["detail"], answer.text
    closed = changes.update(dict(by_key), {"state": "3", "close_code": "successful", "close_notes": "done"}).one()
    assert closed["state"] == "3" and closed["active"] == "false", closed

    with tempfile.NamedTemporaryFile("wb", suffix=".txt") as evidence:
        evidence.write(b"evidence \xe2\x9c\x93\n")
        evidence.flush()
        uploaded = changes.attachments.upload(created["sys_id"], evidence.name, name="evidence.txt").one()
    assert uploaded["file_name"] == "evidence.txt" and uploaded["size_bytes"] == "13", uploaded
    listed = list(client.resource(api_path="/attachment").get(query={"table_sys_id": created["sys_id"]}).all())
    assert [item["sys_id"] for item in listed] == [uploaded["sys_id"]], listed
    kept = requests.get(uploaded["download_link"], auth=(user, password), timeout=20)
    assert kept.content == b"evidence \xe2\x9c\x93\n", kept.content

    deleted = changes.delete({"number": "CHG0000005"})
    assert deleted["status"] == "record deleted", deleted
    gone = requests.get(f"{url}/api/now/table/change_request/{'0' * 32}", auth=(user, password), timeout=20)
    assert gone.status_code == 404 and gone.json()["error"]["message"] == "No Record found", gone.text

    wrong = pysnow.Client(host=host, user=user, password="wrong", use_ssl=False)
    answer = refused(lambda: wrong.resource(api_path="/table/incident").get(query={}).all())
    assert answer.status_code == 401 and answer.json()["error"]["message"] == "User Not Authenticated", answer.text

    oauth = pysnow.OAuthClient(client_id=client_id, client_secret=client_secret, host=host, use_ssl=False)
    oauth.set_token(oauth.generate_token(user, password))
    incidents = oauth.resource(api_path="/table/incident")
    incident = incidents.create({"short_description": "payments down", "caller_id": "ana.lind"}).one()
    assert incident["number"] == "INC0000001", incident
    shown = incidents.get(query={"number": "INC0000001"}, display_value=True).one()
    assert shown["caller_id"]["display_value"] == "Ana Lind" and shown["state"] == "New", shown
    print(json.dumps({"change": created["number"], "attachment": uploaded["sys_id"]}))


main()
