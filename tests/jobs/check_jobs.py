"""Checks the job files for Slurm and Kubernetes, and says what a cluster would refuse or do wrong.

    python3 tests/jobs/check_jobs.py [FOLDER]

FOLDER holds `slurm` and `k8s`; without it, the repository's `pipelines` are checked.

- Kubernetes: every manifest fits the API's schemas of the first version that has all its fields and of the newest one known, no key
  left over. Beyond the schemas: exit codes are treated as the README lists them, parts are as many as pods, the pods of the
  stages differ in their arguments alone, and kustomize (if kubectl is there) builds the whole.
- Slurm: bash and shellcheck read the scripts. Each job is run with stubs of headwater, srun and scontrol, and must requeue itself,
  pass signals on and end as the exit codes ask; `submit.sh` is run with a stub of sbatch.
- The Containerfile copies what exists, the table for users has every exit code, and every option is one that
  `target/debug/headwater` has, if it is built.

Ends with 0 if all is well, 1 if not, 2 if there is nothing to check. A tool that is not installed is skipped with a line.
"""

import argparse
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HEADWATER = REPOSITORY / "target" / "debug" / "headwater"

# The first version with `backoffLimitPerIndex` on, and the newest that kubernetes-validate 1.37 knows.
VERSIONS = ("1.29", "1.37")
# What differs between the pods of two stages.
OWN = ("args",)

MOST_RESTARTS = 20
ARRAY, TASK, PARTS = "1000", "7", "64"
JOB = "1007"  # the id of one task, which is also that of the whole array if the task was the last to start
# What `afterok` waits for: a part with warnings counts as done, the last job says them for the whole.
ENDINGS = {
    "heads.sbatch": {0: 0, 1: 1, 2: 2, 70: 70, 137: 137},
    "score.sbatch": {0: 0, 1: 1, 2: 0, 70: 70, 137: 137},
    "finish.sbatch": {0: 0, 1: 1, 2: 2, 70: 70, 137: 137},
}
COMMANDS = {
    "heads.sbatch": "heads mine.toml",
    "score.sbatch": f"score mine.toml --part {TASK}/{PARTS}",
    "finish.sbatch": "run mine.toml",
}

# Stubs write what happens to $LOG. headwater ends with $ENDS, or waits for a signal if that is empty.
STUBS = {
    "headwater": """echo "headwater $* on $RAYON_NUM_THREADS threads" >>"$LOG"
trap 'echo "headwater got SIGTERM" >>"$LOG"; exit 75' TERM
[[ $ENDS ]] && exit "$ENDS"
: >"$LOG.waits"
for _ in {1..60}; do sleep 0.05; done""",
    # As srun does: SIGTERM becomes SIGKILL, other signals are passed on.
    "srun": """while [[ $1 == -* ]]; do shift; done
"$@" &
trap 'kill -KILL $!' TERM
trap 'kill -USR1 $!' USR1
wait $!""",
    "scontrol": 'echo "scontrol $*" >>"$LOG"',
    "sbatch": """echo "sbatch $PIPELINE $PARTS $*" >>"$LOG"
[[ $ENDS ]] && exit "$ENDS"
echo "$((100 + $(wc -l <"$LOG")));cluster" """,
}


def exit_codes() -> dict[int, str]:
    """Reads the exit codes and their meanings from the README of the repository."""
    text = " ".join((REPOSITORY / "README.md").read_text(encoding="utf-8").split())
    sentence = text.split("Exit codes: ", 1)[1].split(". ", 1)[0].rstrip(".")
    return {int(code): meaning for code, meaning in re.findall(r"(?:^|, )(\d+) ([^,]+)", sentence)}


# Kubernetes


def documents(folder: Path) -> dict[str, dict]:
    """Reads every YAML file of a folder; each holds one document."""
    import yaml

    return {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yaml"))}


def schema_differences(manifest: dict) -> Iterator[str]:
    """Yields what the API of each version refuses, unknown keys included."""
    import kubernetes_validate

    for version in VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = ".".join(str(part) for part in error.path)
            yield f"Kubernetes {version} refuses {where or 'it'}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield error.message


def failure_differences(spec: dict, container: str, codes: dict[int, str]) -> Iterator[str]:
    """Yields exit codes that are not treated as they mean."""
    fails = "FailIndex" if spec.get("completionMode") == "Indexed" else "FailJob"
    rules = spec.get("podFailurePolicy", {}).get("rules", [])
    if spec["template"]["spec"].get("restartPolicy") != "Never":
        yield "podFailurePolicy needs restartPolicy: Never"
    first = rules[0] if rules else {}
    if first.get("action") != "Ignore" or [c["type"] for c in first.get("onPodConditions", [])] != ["DisruptionTarget"]:
        yield "the first rule does not ignore disruptions, so a drained pod counts as failed"
    actions = {}
    for rule in rules:
        for_codes = rule.get("onExitCodes")
        if for_codes is None:
            continue
        if for_codes["operator"] != "In" or for_codes.get("containerName") != container:
            yield f"a rule is not for given exit codes of {container}"
        if for_codes["values"] != sorted(set(for_codes["values"])):
            yield f"the exit codes {for_codes['values']} are not in order"
        actions |= {code: rule["action"] for code in for_codes["values"] if code not in actions}
    expected = {code: "Ignore" if "again" in meaning else fails for code, meaning in codes.items() if code}
    for code in sorted(expected.keys() | actions.keys()):
        if expected.get(code) != actions.get(code):
            yield f"exit code {code} leads to {actions.get(code)}, not {expected.get(code)}"


def parts_differences(spec: dict, args: list[str]) -> Iterator[str]:
    """Yields how the parts of an indexed Job differ from what its pods score."""
    completions = spec["completions"]
    if f"--part=$(JOB_COMPLETION_INDEX)/{completions}" not in args:
        yield f"{args} does not divide the plan by its {completions} completions"
    if "backoffLimitPerIndex" not in spec:
        yield "FailIndex needs backoffLimitPerIndex"
    if spec.get("maxFailedIndexes", completions) < completions:
        yield "maxFailedIndexes stops all parts because of some"


def pod_differences(template: dict, kustomization: dict) -> Iterator[str]:
    """Yields what does not fit together inside a pod, or with the kustomization."""
    (container,) = template["spec"]["containers"]
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    for path, mount in mounts.items():
        if mount["name"] not in volumes:
            yield f"{path} is of no volume"
    folder, _, file = container["args"][1].rpartition("/")
    volume = volumes.get(mounts.get(folder, {}).get("name"), {})
    name = volume.get("configMap", {}).get("name")
    if (name, file) not in {(m["name"], f) for m in kustomization["configMapGenerator"] for f in m["files"]}:
        yield f"{container['args'][1]} is in no ConfigMap of the kustomization"
    elif not mounts[folder].get("readOnly"):
        yield f"{folder} is not mounted read-only"
    cache = next((variable["value"] for variable in container["env"] if variable["name"] == "XDG_CACHE_HOME"), None)
    if "emptyDir" not in volumes.get(mounts.get(cache, {}).get("name"), {}):
        yield f"XDG_CACHE_HOME is {cache}, which cannot be written"
    (port,) = container["ports"]
    told = template["metadata"]["annotations"]["prometheus.io/port"]
    if f"--metrics-addr=0.0.0.0:{port['containerPort']}" not in container["args"] or told != str(port["containerPort"]):
        yield f"port {port['containerPort']}, {container['args'][-1]} and the annotation {told} differ"
    if container["image"] not in {image["name"] for image in kustomization["images"]}:
        yield f"the kustomization sets no image {container['image']}"
    context = {**template["spec"]["securityContext"], **container["securityContext"]}
    for key, wanted in {"runAsNonRoot": True, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False}.items():
        if context.get(key) is not wanted:
            yield f"{key} is not {str(wanted).lower()}"


def job_differences(job: dict, kustomization: dict) -> Iterator[str]:
    """Yields what is wrong with a Job that the schema allows."""
    spec, stage = job["spec"], job["metadata"]["labels"]["stage"]
    (container,) = spec["template"]["spec"]["containers"]
    yield from failure_differences(spec, container["name"], exit_codes())
    yield from pod_differences(spec["template"], kustomization)
    if spec.get("completionMode") == "Indexed":
        yield from parts_differences(spec, container["args"])
    if job["metadata"]["name"] != f"headwater-{stage}" or spec["template"]["metadata"]["labels"]["stage"] != stage:
        yield f"the name or the pods' label is not that of stage {stage}"
    if "activeDeadlineSeconds" not in spec:
        yield "ignored failures are repeated without an end"


def shared(job: dict) -> dict:
    """What the pods of all stages have in common."""
    pod = job["spec"]["template"]["spec"]
    return {**pod, "containers": [{k: v for k, v in c.items() if k not in OWN} for c in pod["containers"]]}


def check_kubernetes(folder: Path) -> Iterator[str]:
    """Yields what is wrong with the manifests, with the kustomization, and with what it builds."""
    found = documents(folder)
    kustomization = found.pop("kustomization.yaml")
    if sorted(kustomization["resources"]) != sorted(found):
        yield f"kustomization.yaml lists {kustomization['resources']}, the folder holds {list(found)}"
    for name, manifest in found.items():
        wrong = list(schema_differences(manifest))
        if not wrong and manifest["kind"] == "Job":
            wrong = list(job_differences(manifest, kustomization))
        yield from (f"{name}: {text}" for text in wrong)
    jobs = {name: manifest for name, manifest in found.items() if manifest["kind"] == "Job"}
    first, *others = jobs
    for other in others:
        if shared(jobs[first]) != shared(jobs[other]):
            yield f"{other}: its pod differs from that of {first} in more than {', '.join(OWN)}"


def check_kustomization(folder: Path) -> Iterator[str]:
    """Yields what is wrong with what kustomize builds."""
    import yaml

    built = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    if built.returncode:
        yield f"kustomize: {built.stderr.strip()}"
        return
    for manifest in yaml.safe_load_all(built.stdout):
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        yield from (f"kustomize: {name}: {text}" for text in schema_differences(manifest))
        if "stage" not in manifest["metadata"]["labels"]:
            yield f"kustomize: {name} is of no stage, so it is never applied"


def check_image(folder: Path) -> Iterator[str]:
    """Yields what the Containerfile copies that is not there, members it does not copy, and a compiler other than the workspace's."""
    text = (folder / "Containerfile").read_text(encoding="utf-8")
    copied = " ".join(re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE)).split()
    yield from (f"Containerfile: there is no {path}" for path in copied if not (REPOSITORY / path).exists())
    workspace = tomllib.loads((REPOSITORY / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]
    members = [member.removesuffix("/*") for member in workspace["members"]]
    yield from (f"Containerfile: {member}, of the workspace, is not copied" for member in members if member not in copied)
    version = workspace["package"]["rust-version"]
    if f"FROM rust:{version}-" not in text:
        yield f"Containerfile: builds with another Rust than {version}"


def check_table(folder: Path) -> Iterator[str]:
    """Yields how the codes of the table for users differ from those of the README of the repository."""
    table = (folder / "README.md").read_text(encoding="utf-8")
    listed, wanted = [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)], list(exit_codes())
    if listed != wanted:
        yield f"README.md: its table has the exit codes {listed}, not {wanted}"


# Slurm


@dataclass
class Attempt:
    """What one run of a job came to."""

    code: int
    log: list[str]


def write_stubs(scratch: Path) -> dict[str, str]:
    """Writes the stubs and returns an environment that finds them, and little else."""
    for name, body in STUBS.items():
        path = scratch / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
    (scratch / "mine.toml").touch()
    return {"PATH": f"{scratch / 'bin'}:{os.environ['PATH']}", "LOG": str(scratch / "log"), "ENDS": ""}


def read_log(scratch: Path) -> list[str]:
    """Reads what the stubs wrote."""
    path = scratch / "log"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def attempt(script: Path, *, ends: int | None = None, restarts: int = 0, sent: signal.Signals | None = None) -> Attempt:
    """Runs a job as Slurm does, from a copy: headwater ends with `ends`, or the batch shell alone is sent a signal."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        environment = write_stubs(scratch) | {
            "HEADWATER_JOBS": str(script.parent.resolve()),
            "PIPELINE": "mine.toml",
            "PARTS": PARTS,
            "SLURM_JOB_ID": JOB,
            "SLURM_CPUS_PER_TASK": "3",
            "SLURM_RESTART_COUNT": str(restarts),
            "ENDS": "" if ends is None else str(ends),
        }
        if restarts == 0:
            del environment["SLURM_RESTART_COUNT"]  # Slurm sets it at the first restart
        if script.name == "score.sbatch":
            # two tasks of an array submitted again
            environment |= {"SLURM_ARRAY_JOB_ID": ARRAY, "SLURM_ARRAY_TASK_ID": TASK}
            environment |= {"SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "3"}
        copy = shutil.copy(script, scratch / "slurm_script")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(["bash", copy], cwd=scratch, env=environment, start_new_session=True, **quiet)
        try:
            if sent is not None:
                deadline = time.monotonic() + 20
                while not (scratch / "log.waits").exists() and process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.01)
                process.send_signal(sent)
            code = process.wait(timeout=20)
            time.sleep(0.1 if sent else 0)  # a headwater that was left behind writes nothing more
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        return Attempt(code, read_log(scratch))


def check_job(script: Path) -> Iterator[str]:
    """Runs a job to every end and yields what it does wrong."""
    command = f"headwater {COMMANDS[script.name]} on 3 threads"
    task = f"{ARRAY}_{TASK}" if script.name == "score.sbatch" else JOB
    requeued = [command, f"scontrol requeue {task}"]
    for ends, code in ENDINGS[script.name].items():
        seen = attempt(script, ends=ends)
        if seen != Attempt(code, [command]):
            yield f"at exit code {ends}: {seen}, not {Attempt(code, [command])}"
    for restarts, log in {0: requeued, MOST_RESTARTS - 1: requeued, MOST_RESTARTS: [command]}.items():
        seen = attempt(script, ends=75, restarts=restarts)
        if seen != Attempt(75, log):
            yield f"at exit code 75 after {restarts} restarts: {seen}, not {Attempt(75, log)}"
    warning = re.search(r"^#SBATCH --signal=B:(\w+)@(\d+)$", script.read_text(encoding="utf-8"), re.MULTILINE)
    if warning is None or int(warning[2]) < 60:
        yield "it is not warned a minute before its time limit"
        return
    stopped = [command, "headwater got SIGTERM"]
    near, cancelled = signal.Signals[f"SIG{warning[1]}"], signal.SIGTERM
    for sent, why, log in [(near, "the time limit", [*stopped, requeued[1]]), (cancelled, "scancel", stopped)]:
        seen = attempt(script, sent=sent)
        if seen != Attempt(75, log):
            yield f"at {why} ({sent.name}): {seen}, not {Attempt(75, log)}"


def submit(script: Path, *arguments: str, ends: int | None = None) -> Attempt:
    """Runs `submit.sh` with a stub of sbatch, which ends with `ends` or prints job ids from 101 on."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        environment = write_stubs(scratch) | {"ENDS": "" if ends is None else str(ends)}
        process = subprocess.run(["bash", script, *arguments], cwd=scratch, env=environment, capture_output=True, check=False)
        return Attempt(process.returncode, read_log(scratch))


def check_submit(script: Path) -> Iterator[str]:
    """Yields what is wrong with how the jobs are submitted."""
    seen = submit(script, "mine.toml", "1001")
    wanted = [("heads", []), ("score", ["--dependency=afterok:101", "--array=0-1000%32"]), ("finish", ["--dependency=afterok:102"])]
    always = ["--parsable", "--export=ALL", "--kill-on-invalid-dep=yes"]
    if seen.code or len(seen.log) != len(wanted):
        yield f"submits {seen}"
        return
    for line, (stage, options) in zip(seen.log, wanted):
        words = line.split()
        if words[1:3] != ["mine.toml", "1001"] or Path(words[-1]).name != f"{stage}.sbatch" or not {*options, *always} <= {*words}:
            yield f"submits {line}, not {stage}.sbatch with {always + options}"
    for arguments in ([], ["mine.toml", "1002"], ["mine.toml", "0"], ["mine.toml", "x"], ["absent.toml"]):
        seen = submit(script, *arguments)
        if seen.code == 0 or seen.log:
            yield f"with {arguments}: {seen}, not refused"
    seen = submit(script, "mine.toml", ends=1)
    if seen.code == 0 or len(seen.log) != 1:
        yield f"goes on when sbatch fails: {seen}"


def check_syntax(script: Path) -> Iterator[str]:
    """Yields what bash, and shellcheck if it is there, has against a script."""
    commands = [["bash", "-n"]]
    if shutil.which("shellcheck"):
        commands.append(["shellcheck", "--shell=bash", "--format=gcc"])
    for command in commands:
        process = subprocess.run([*command, script], capture_output=True, text=True, check=False)
        yield from (process.stdout + process.stderr).splitlines()
    if not script.name.endswith(".sbatch") and not os.access(script, os.X_OK):
        yield "it is not executable"


# Both


def check_options(folder: Path) -> Iterator[str]:
    """Yields options of `headwater` in the job files that the built command does not have."""
    commands: dict[str, tuple[str, list[str]]] = {}
    for path in sorted((folder / "slurm").glob("*.sbatch")):
        words = path.read_text(encoding="utf-8").splitlines()[-1].split(" headwater ")[1].split()
        commands[path.name] = (words[0], words)
    if importlib.util.find_spec("yaml"):
        for name, manifest in documents(folder / "k8s").items():
            if manifest["kind"] == "Job":
                args = manifest["spec"]["template"]["spec"]["containers"][0]["args"]
                commands[name] = (args[0], args)
    for name, (command, words) in commands.items():
        shown = subprocess.run([HEADWATER, command, "--help"], capture_output=True, text=True, check=False)
        if shown.returncode:
            yield f"{name}: headwater has no command {command}"
            continue
        known = set(re.findall(r"--[a-z-]+", shown.stdout))
        unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in known]
        yield from (f"{name}: headwater {command} has no {option}" for option in unknown)


def check(folder: Path) -> tuple[int, list[str]]:
    """Checks all job files in `folder`; returns how many checks were made and what is wrong."""
    checks: list[tuple[str, Iterator[str]]] = []
    slurm, kubernetes = folder / "slurm", folder / "k8s"
    if slurm.is_dir():
        if shutil.which("shellcheck") is None:
            print("skipped  shellcheck, which is not installed")
        for script in sorted([*slurm.glob("*.sh"), *slurm.glob("*.sbatch")]):
            checks.append((f"slurm/{script.name}", check_syntax(script)))
        checks += [(f"slurm/{name}", check_job(slurm / name)) for name in ENDINGS]
        checks.append(("slurm/submit.sh", check_submit(slurm / "submit.sh")))
    if kubernetes.is_dir():
        missing = [name for name in ("yaml", "kubernetes_validate") if importlib.util.find_spec(name) is None]
        for name in missing:
            print(f"skipped  manifests, since {name} is not installed")
        if not missing:
            checks.append(("k8s", check_kubernetes(kubernetes)))
            if shutil.which("kubectl"):
                checks.append(("k8s", check_kustomization(kubernetes)))
            else:
                print("skipped  kustomize, since kubectl is not installed")
        checks += [("k8s", check_image(kubernetes)), ("k8s", check_table(kubernetes))]
    if checks and HEADWATER.exists():
        checks.append(("options", check_options(folder)))
    elif checks:
        print(f"skipped  options, since {HEADWATER.relative_to(REPOSITORY)} is not built")
    return len(checks), [f"{name}: {text}" for name, found in checks for text in found]


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=REPOSITORY / "pipelines", help="holds slurm and k8s")
    checked, wrong = check(parser.parse_args().folder)
    for text in wrong:
        print(f"wrong    {text}")
    print(f"{checked} checks, {len(wrong)} mistakes")
    return 1 if wrong else 0 if checked else 2


if __name__ == "__main__":
    sys.exit(main())
