"""Checks what the command is built from, by `cargo tree` and `cargo metadata`: one stack of TLS, one HTTP client, and no package that
needs a newer Rust than the one that is declared and builds."""

import json
import subprocess
import sys

# what a package is for -> those that are known to do it, and the one that does
KINDS = {
    "TLS": ({"rustls", "native-tls", "openssl", "boring", "mbedtls", "s2n-tls", "schannel", "security-framework"}, "rustls"),
    "provider of TLS": ({"ring", "aws-lc-rs", "openssl-sys", "boring-sys", "mbedtls-sys-auto", "rustls-rustcrypto"}, "ring"),
    "HTTP client": (
        {"reqwest", "ureq", "curl", "isahc", "attohttpc", "minreq", "awc", "surf", "hyper-tls", "aws-smithy-http-client"},
        "reqwest",
    ),
}
# of which there is one version
SINGLE = {"rustls", "ring", "reqwest", "hyper", "http", "h2", "tokio", "object_store"}


def stack_errors(packages):
    """What is wrong with `packages`, a set of names and versions."""
    names = {name for name, _ in packages}
    for kind, (known, wanted) in KINDS.items():
        for name in sorted((names & known) - {wanted}):
            yield f"{name} is a second {kind} beside {wanted}: `cargo tree -p headwater-cli -e normal -i {name}` says what needs it"
    for name in sorted(SINGLE):
        versions = sorted(version for other, version in packages if other == name)
        if len(versions) > 1:
            yield f"{name} is there in the versions {' and '.join(versions)}"


def release(version):
    """The numbers of a version: 1.95 as (1, 95, 0)."""
    numbers = [int(number) for number in version.split("-")[0].split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))


def rust_errors(packages, compiler):
    """What is wrong with the versions of Rust that `packages`, as `cargo metadata` lists them, declare; `compiler` builds them."""
    declared = {package["rust_version"] for package in packages if package["source"] is None}
    if len(declared) != 1 or None in declared:
        yield f"the crates of the workspace declare different versions of Rust: {declared}"
        return
    (minimum,) = declared
    if release(compiler)[:2] != release(minimum)[:2]:
        yield f"Rust {minimum} is declared, {compiler} builds: a minimum that is not built is a guess"
    for package in packages:
        if release(package["rust_version"] or "1.0") > release(compiler):
            yield f"{package['name']} {package['version']} needs Rust {package['rust_version']}, {minimum} is declared"


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main():
    lines = output("cargo", "tree", "-p", "headwater-cli", "-e", "normal", "--prefix", "none", "--format", "{p}").splitlines()
    stack = {tuple(line.split()[:2]) for line in lines if line}
    packages = json.loads(output("cargo", "metadata", "--format-version", "1"))["packages"]
    compiler = output("rustc", "--version").split()[1]
    errors = [*stack_errors(stack), *rust_errors(packages, compiler)]
    print("\n".join(errors) or f"tree: one stack of TLS, one HTTP client; Rust {compiler} is enough")
    return bool(errors)


if __name__ == "__main__":
    sys.exit(main())
