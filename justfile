# The gates of a change. `.ci/run` calls them all but `advisories`; each runs alone too.
fmt:
    cargo fmt --all --check
structure:
    python3 -B -m unittest discover .ci && python3 -B .ci/structure.py
tree:
    python3 -B .ci/tree.py
speeds:
    python3 -B tests/bench/peers/readme_table.py --check
deny:
    cargo deny --config .ci/deny.toml check -D unmatched-skip licenses bans sources
advisories:
    cargo deny --config .ci/deny.toml check advisories
lint:
    cargo clippy --workspace --all-targets --features headwater-fuzz/libfuzzer -- -D warnings
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
# scores a little of the sample corpus by the library alone; no package is named, as with the features of all of them nothing is built anew
example output:
    XDG_CACHE_HOME="${XDG_CACHE_HOME:-$HOME/.cache}" cargo run --example score_and_select -- pipelines/quickstart.toml run.output={{output}} corpus.sample=0.03
test:
    python3 -B .ci/run_tests.py cargo test --workspace
suite name:
    python3 -B .ci/run_tests.py tests/{{name}}
