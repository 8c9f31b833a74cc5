# The gates of a change. `.ci/run` calls them all; each runs alone too.
fmt:
    cargo fmt --all --check
lint:
    cargo clippy --workspace --all-targets -- -D warnings
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
structure:
    python3 -B -m unittest discover .ci && python3 -B .ci/structure.py
test:
    cargo test --workspace
readers:
    python3 -m unittest discover tests/readers
trainers:
    python3 -m unittest discover tests/trainers
jobs:
    python3 -m unittest discover tests/jobs
report:
    python3 -m unittest discover tests/report
