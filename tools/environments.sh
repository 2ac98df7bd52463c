#!/usr/bin/env bash
# Fresh environments that people have: install into each, see that nothing of theirs was replaced, paint from the command
# line and from Python without a word that is not about us, and test the loader.
#
#     tools/environments.sh [newest] [colab] [no-pkg-resources]        (all three when none is named)
#
# PYTHON and COLAB_PYTHON choose the interpreters (python3.11; Colab's own is python3.13), TORCH another torch than the
# newest (TORCH="torch==2.13.0 torchvision==0.28.0"), ENVIRONMENTS a folder that keeps them.
#
# torch always comes with its torchvision: openai-clip and taming-transformers ask for one, and where there is none pip
# takes the newest, which brings a torch of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
python=${PYTHON:-python3.11}
folder=${ENVIRONMENTS:-$(mktemp -d)}
[ -n "${ENVIRONMENTS:-}" ] || trap 'rm -rf "$folder"' EXIT

# What the person has before this package comes. Each prints pip's arguments.
newest() { echo --upgrade setuptools "${TORCH:-torch torchvision}" numpy ipywidgets; }
colab() { echo -r tools/colab.txt; }
no-pkg-resources() { echo "setuptools>=82" "${TORCH:-torch torchvision}" numpy; }

# Packages whose release must not change when the requirements are installed.
theirs() { "$1" -m pip freeze --all | grep -iE '^(torch|torchvision|numpy|pillow|ipywidgets|ipython|ipykernel|setuptools)==' | sort; }

# Run a command that must have nothing to say on stderr.
silent() {
    local name=$1 said
    shift
    if ! said=$("$@" 2>&1 >/dev/null) || [ -n "$said" ]; then
        echo "$name: painting failed, or said what is not about us: $said"
        return 1
    fi
}

check() {
    local name=$1 chosen=$2
    local here="$folder/$name" started=$SECONDS
    printf '\n== %s (%s)\n' "$name" "$("$chosen" --version)"
    "$chosen" -m venv "$here"
    local py="$here/bin/python"
    # shellcheck disable=SC2046
    "$py" -m pip install --quiet $("$name")
    theirs "$py" >"$here/before"

    local install=$SECONDS
    "$py" -m pip install --quiet -r requirements.txt
    echo "requirements installed in $((SECONDS - install)) s"
    theirs "$py" >"$here/after"
    if ! comm -23 "$here/before" "$here/after" | { ! grep .; }; then
        echo "$name: the lines above were replaced by the requirements"
        return 1
    fi
    cat "$here/after"

    "$py" -m pip install --quiet pytest
    export PYTHONPATH=$root
    (cd "$here" && "$py" -m vqclip_nb doctor) | { grep -E '✓|✗' || true; }
    local said
    rm -rf "$here/runs"
    silent "$name" "$py" -m vqclip_nb paint "a red circle" --steps 3 --size 64 64 --quiet --out "$here/runs"
    [ -s "$(echo "$here"/runs/*/result.png)" ] || { echo "$name: there is no picture"; return 1; }
    silent "$name" "$py" -c 'import vqclip_nb as v; [*v.paint(v.Settings(prompt="a red circle", steps=3, size=(64, 64)))]'
    OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} "$py" -m pytest -q "$root/tests/test_load.py" "$root/tests/test_device.py" -p no:cacheprovider
    echo "$name: right, in $((SECONDS - started)) s"
}

[ $# -gt 0 ] || set -- newest colab no-pkg-resources
for name in "$@"; do
    case $name in
    colab) check colab "${COLAB_PYTHON:-python3.13}" ;;
    newest | no-pkg-resources) check "$name" "$python" ;;
    *)
        echo "there is no environment '$name'; there are newest, colab, no-pkg-resources" >&2
        exit 2
        ;;
    esac
done
