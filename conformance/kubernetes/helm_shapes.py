#!/usr/bin/env python3
"""Drives two programs `helm` through the calls of the helm plugin and compares the shapes of their answers.

usage: helm_shapes.py CHART REAL_HELM REAL_KUBECONFIG STAND_IN STAND_IN_KUBECONFIG

A shape is the set of paths in a JSON answer with their types. What the plugin reads has to be in both; what the stand-in
says has to be something that the real one says too. The real one may say more: the stand-in keeps no `managedFields`.
"""

import json
import os
import subprocess
import sys
import time

RELEASE = "shapes"
NAMESPACE = f"windlass-shapes-{os.getpid()}"
KEY = "0123456789abcdef0123456789abcdef"
# The stand-in's simulated pods and the cluster's both take a second or two.
READY_SECONDS_MAX = 60

DEPLOYMENT = "info.resources.v1/Deployment[]."
POD = "info.resources.v1/Pod(related)[].items[]."
# What `plugins/helm` reads of each answer.
READ = {
    "history": ["[]." + it for it in ("revision", "updated", "status", "chart", "app_version", "description")],
    "history of three": ["[].description"],
    "status": ["version", "manifest", "info.status", "info.description", "info.last_deployed"]
    + [DEPLOYMENT + it for it in ("kind", "metadata.name", "metadata.generation", "spec.replicas")]
    + [DEPLOYMENT + "status." + it for it in ("observedGeneration", "replicas", "updatedReplicas", "availableReplicas")]
    + ["info.resources.v1/Pod(related)[].kind", POD + "status.phase"]
    + [POD + "metadata.ownerReferences[]." + it for it in ("kind", "name")]
    + [POD + "status.containerStatuses[]." + it for it in ("name", "state")],
    "status of a bad image": [POD + "status.containerStatuses[].state.waiting.reason"],
    "values": ["image.tag"],
    "no values": [],
    "list": ["[].name"],
    "list of another key": [],
    "rendered upgrade": ["manifest", "config.image.tag"],
    "rendered installation": ["manifest"],
}


class Helm:
    def __init__(self, program, kubeconfig, chart):
        self.program = program
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": os.path.dirname(kubeconfig), "KUBECONFIG": kubeconfig}
        self.chart = chart

    def call(self, *arguments, fails=False):
        command = [self.program, *arguments, "--namespace", NAMESPACE]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if (done.returncode != 0) != fails:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
        return done.stderr if fails else done.stdout

    def json(self, *arguments):
        return json.loads(self.call(*arguments, "--output", "json"))

    def upgrade(self, tag, *more):
        return self.call(
            "upgrade", RELEASE, self.chart, "--install", "--reset-values", "--create-namespace", "--timeout", "60s",
            "--set", f"image.tag={tag}", *more,
        )

    def marked(self, tag):
        self.upgrade(tag, "--description", f"windlass {KEY}", "--labels", f"windlass-key={KEY}")

    def status(self):
        return self.json("status", RELEASE, "--show-resources")

    def status_when(self, there):
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not there(status := self.status()):
            if time.monotonic() > deadline:
                sys.exit(f"{self.program} never showed what was waited for: {json.dumps(status)[:2000]}")
        return status

    def labelled(self, key):
        return self.json("list", "--all", "--selector", f"windlass-key={key}", "--filter", f"^{RELEASE}$")

    def answers(self):
        """All that the plugin asks for, in the course of a short life."""
        dry = ("--dry-run=server", "--output", "json")
        found = {"rendered installation": json.loads(self.upgrade("1.0.0", *dry))}
        missing = self.call("status", RELEASE, "--output", "json", "--show-resources", fails=True)
        if "release: not found" not in missing or "release: not found" not in self.call(
            "history", RELEASE, "--output", "json", fails=True
        ):
            sys.exit(f"{self.program} does not say `release: not found`: {missing}")
        self.marked("1.0.0")
        found["status"] = self.status_when(is_ready)
        found["history"] = self.json("history", RELEASE)
        found["values"] = self.json("get", "values", RELEASE, "--revision", "1")
        found["list"] = self.labelled(KEY)
        found["list of another key"] = self.labelled("f" * 32)
        found["rendered upgrade"] = json.loads(self.upgrade("1.0.1", *dry))
        self.marked("1.0.1bad")
        found["status of a bad image"] = self.status_when(is_stuck)
        self.call("rollback", RELEASE, "1", "--timeout", "60s")
        found["history of three"] = self.json("history", RELEASE)
        expected = [f"windlass {KEY}", f"windlass {KEY}", "Rollback to 1"]
        if [it["description"] for it in found["history of three"]] != expected:
            sys.exit(f"{self.program} describes its revisions otherwise: {found['history of three']}")
        if len(found["list"]) != 1 or found["list of another key"]:
            sys.exit(f"{self.program} does not select by label: {found['list']}, {found['list of another key']}")
        self.call("rollback", RELEASE, "3", "--no-hooks")
        self.call("upgrade", RELEASE, self.chart, "--install", "--reset-values", "--timeout", "60s")
        found["no values"] = self.json("get", "values", RELEASE)
        self.call("uninstall", RELEASE, "--timeout", "60s")
        return found


def resources(status, kind):
    return status["info"].get("resources", {}).get(kind, [])


def is_ready(status):
    counts = [it.get("status", {}).get("availableReplicas", 0) for it in resources(status, "v1/Deployment")]
    pods = [pod for it in resources(status, "v1/Pod(related)") for pod in it.get("items", [])]
    return counts == [2] and all(pod["status"].get("phase") == "Running" for pod in pods)


def is_stuck(status):
    return any("ImagePull" in json.dumps(it) for it in resources(status, "v1/Pod(related)"))


def kind(value):
    for types, name in ((bool, "boolean"), ((int, float), "number"), (str, "text"), (dict, "object"), (list, "list")):
        if isinstance(value, types):
            return name
    return "null"


def shape(value, path=""):
    """Path -> types. What is a map of people's own names (labels, annotations) counts as a whole."""
    found = {path: {kind(value)}}
    below = []
    if isinstance(value, dict) and path.rsplit(".", 1)[-1] not in ("labels", "annotations", "matchLabels", "f:labels"):
        below = [(f"{path}.{name}" if path else name, item) for name, item in value.items()]
    elif isinstance(value, list):
        below = [(f"{path}[]", item) for item in value]
    for its_path, item in below:
        for deeper, types in shape(item, its_path).items():
            found.setdefault(deeper, set()).update(types)
    return found


def main():
    chart, real, real_kubeconfig, stand_in, stand_in_kubeconfig = sys.argv[1:]
    theirs = Helm(real, real_kubeconfig, chart).answers()
    ours = Helm(stand_in, stand_in_kubeconfig, chart).answers()
    differences = []
    for name, answer in theirs.items():
        real_shape, simulated = shape(answer), shape(ours[name])
        for path in READ[name]:
            for who, its_shape in (("the real helm", real_shape), ("the stand-in", simulated)):
                if path not in its_shape:
                    differences.append(f"{name}: {who} has no {path}")
        for path, types in simulated.items():
            if path not in real_shape:
                differences.append(f"{name}: only the stand-in has {path}")
            elif not types & real_shape[path]:
                differences.append(f"{name}: {path} is {real_shape[path]} in helm and {types} in the stand-in")
    for difference in differences:
        print(difference)
    if differences:
        sys.exit(1)
    print(f"{len(theirs)} answers have the same shape")


if __name__ == "__main__":
    main()
