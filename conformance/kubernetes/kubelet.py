#!/usr/bin/env python3
"""A stand-in for the kubelet: one node, on which every pod runs at once. Simulated, no container is ever started.

The API server, controller manager and scheduler around it are the real ones; only what a kubelet would report is made
up here, through the same REST API, from the tag of a pod's images alone:

    …bad    the image cannot be pulled: the pod stays pending with `ImagePullBackOff`
    …fail   the container exits with code 1
    else    the pod is ready; one that is not to be restarted (a job, a Helm test) ends with code 0

It ends when the API server has been away for a minute.
"""

import argparse
import datetime
import json
import ssl
import sys
import time
import urllib.error
import urllib.request

NODE = "simulated-node"
LOOK_SECONDS = 0.2
HEARTBEAT_SECONDS = 10
AWAY_SECONDS_MAX = 60


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Api:
    """The REST API, as a client with a bearer token."""

    def __init__(self, server, token, authority):
        self.server = server
        self.token = token
        self.tls = ssl.create_default_context(cafile=authority)

    def call(self, method, path, body=None, kind="application/json"):
        request = urllib.request.Request(self.server + path, method=method)
        request.add_header("Authorization", "Bearer " + self.token)
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            request.add_header("Content-Type", kind)
        with urllib.request.urlopen(request, data, timeout=10, context=self.tls) as response:
            return json.load(response)

    def patch(self, path, body):
        return self.call("PATCH", path, body, "application/strategic-merge-patch+json")


def register(api):
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {"windlass.dev/simulated": "true"}}}
    try:
        api.call("POST", "/api/v1/nodes", node)
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise


def report_node(api):
    room = {"pods": "250", "cpu": "64", "memory": "256Gi"}
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Simulated",
        "message": "a stand-in for the kubelet: no container runs",
        "lastHeartbeatTime": now(),
    }
    api.patch(f"/api/v1/nodes/{NODE}/status", {"status": {"capacity": room, "allocatable": room, "conditions": [ready]}})


def tag(container):
    name = container["image"].rsplit("/", 1)[-1]
    return name.split("@", 1)[0].partition(":")[2]


def container_status(container, state, ready):
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": ready,
        "started": ready,
        "restartCount": 0,
        "state": state,
    }


def status_of(pod):
    """What the pod's status becomes, from its specification alone."""
    containers = pod["spec"]["containers"]
    tags = [tag(container) for container in containers]
    once = pod["spec"].get("restartPolicy", "Always") != "Always"

    def conditions(ready, reason=None):
        made = [{"type": kind, "status": "True" if ready else "False"} for kind in ("Ready", "ContainersReady")]
        if reason:
            for condition in made:
                condition["reason"] = reason
        return [{"type": "Initialized", "status": "True"}] + made

    if any(tag.endswith("bad") for tag in tags):
        waiting = []
        for container, its_tag in zip(containers, tags):
            if its_tag.endswith("bad"):
                why = {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{container["image"]}"'}
            else:
                why = {"reason": "ContainerCreating"}
            waiting.append(container_status(container, {"waiting": why}, False))
        return {"phase": "Pending", "conditions": conditions(False, "ContainersNotReady"), "containerStatuses": waiting}

    failed = any(tag.endswith("fail") for tag in tags)
    if failed or once:
        ended = []
        for container, its_tag in zip(containers, tags):
            code = 1 if its_tag.endswith("fail") else 0
            state = {
                "exitCode": code,
                "reason": "Error" if code else "Completed",
                "startedAt": now(),
                "finishedAt": now(),
            }
            ended.append(container_status(container, {"terminated": state}, False))
        phase = "Failed" if failed else "Succeeded"
        return {"phase": phase, "conditions": conditions(False, "PodCompleted"), "containerStatuses": ended}

    running = [container_status(container, {"running": {"startedAt": now()}}, True) for container in containers]
    return {"phase": "Running", "podIP": "10.1.0.1", "conditions": conditions(True), "containerStatuses": running}


def look(api):
    for pod in api.call("GET", f"/api/v1/pods?fieldSelector=spec.nodeName={NODE}")["items"]:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        try:
            if "deletionTimestamp" in metadata:
                api.call("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
            elif pod["status"].get("phase") == "Pending" and "containerStatuses" not in pod["status"]:
                api.patch(path + "/status", {"status": status_of(pod)})
        except urllib.error.HTTPError as error:
            # The pod went away or changed meanwhile: the next look sees what it is now.
            if error.code not in (404, 409):
                raise


def main():
    parser = argparse.ArgumentParser(description="a stand-in for the kubelet (simulated)")
    parser.add_argument("--server", required=True)
    parser.add_argument("--token-file", required=True)
    parser.add_argument("--certificate-authority", required=True)
    options = parser.parse_args()
    with open(options.token_file, encoding="utf-8") as file:
        token = file.read().split(",", 1)[0].strip()
    api = Api(options.server, token, options.certificate_authority)

    registered, heartbeat_due, last_answer = False, 0.0, time.monotonic()
    while True:
        try:
            if not registered:
                register(api)
                registered = True
            if time.monotonic() >= heartbeat_due:
                report_node(api)
                heartbeat_due = time.monotonic() + HEARTBEAT_SECONDS
            look(api)
            last_answer = time.monotonic()
        except (OSError, ValueError) as error:
            print(f"{now()} {error}", file=sys.stderr, flush=True)
            if time.monotonic() - last_answer > AWAY_SECONDS_MAX:
                sys.exit("the API server has been away for a minute")
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main()
