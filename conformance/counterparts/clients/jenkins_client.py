"""Drives the simulated Jenkins with python-jenkins, a client we did not write.

usage: jenkins_client.py URL USER PASSWORD

Prints one line of JSON with what it saw. Any difference from what a Jenkins does raises.
"""

import json
import sys
import time

import jenkins


def wait(what, seconds=20):
    """Polls until `what` gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit("waited too long")


def main():
    url, user, password = sys.argv[1:4]
    server = jenkins.Jenkins(url, username=user, password=password, timeout=20)
    assert server.get_whoami()["id"] == user
    assert server.get_version() == "2.479.1", server.get_version()
    assert server.get_info()["mode"] == "NORMAL"
    names = sorted(job["fullname"] for job in server.get_all_jobs())
    assert "payments" in names, names
    assert server.get_job_name("payments") == "payments"
    assert server.job_exists("team/service/build"), names
    assert not server.job_exists("absent")
    declared = [
        definition["name"]
        for prop in server.get_job_info("payments")["property"]
        for definition in prop.get("parameterDefinitions", [])
    ]
    assert declared == ["VERSION", "WINDLASS_KEY"], declared

    item = server.build_job("payments", {"VERSION": "1.2.3", "WINDLASS_KEY": "key-1", "UNKNOWN": "x"})
    waiting = server.get_queue_item(item)
    assert waiting["why"] and "executable" not in waiting, waiting
    assert [queued["id"] for queued in server.get_queue_info()] == [item]
    same = server.build_job("payments", {"VERSION": "1.2.3", "WINDLASS_KEY": "key-1"})
    assert same == item, "an equal item in the queue is not doubled"
    number = wait(lambda: (server.get_queue_item(item).get("executable") or {}).get("number"))
    running = server.get_build_info("payments", number)
    assert running["building"] and running["result"] is None, running
    parameters = {
        parameter["name"]: parameter["value"]
        for action in running["actions"]
        for parameter in action.get("parameters", [])
    }
    assert parameters == {"VERSION": "1.2.3", "WINDLASS_KEY": "key-1"}, parameters
    done = wait(lambda: (lambda build: not build["building"] and build)(server.get_build_info("payments", number)))
    assert done["result"] == "SUCCESS" and done["duration"] > 0, done
    console = server.get_build_console_output("payments", number)
    assert "1.2.3" in console and console.rstrip().endswith("Finished: SUCCESS"), console
    report = server.get_build_test_report("payments", number)
    assert report["passCount"] == 42, report
    artifact = server.get_build_artifact("payments", number, "build/image.json")
    assert artifact["image"] == "example.test/payments:1.2.3", artifact

    stopped_item = server.build_job("payments", {"VERSION": "2.0.0"})
    stopped = wait(lambda: (server.get_queue_item(stopped_item).get("executable") or {}).get("number"))
    server.stop_build("payments", stopped)
    assert server.get_build_info("payments", stopped)["result"] == "ABORTED"

    cancelled = server.build_job("payments", {"VERSION": "3.0.0"})
    server.cancel_queue(cancelled)
    assert server.get_queue_item(cancelled)["cancelled"] is True

    folder_item = server.build_job("team/service/build")
    wait(lambda: (server.get_queue_item(folder_item).get("executable") or {}).get("number"))

    try:
        jenkins.Jenkins(url, username=user, password="wrong", timeout=20).get_info()
        raise SystemExit("a wrong password was taken")
    except jenkins.JenkinsException as error:
        assert "401" in str(error), error
    print(json.dumps({"build": number, "stopped": stopped, "cancelled": cancelled}))


main()
