#!/usr/bin/env bash
# Fresh environments that people have: install into each, see that nothing of theirs was replaced, and test the loader.
#
#     tools/environments.sh [newest] [colab] [no-pkg-resources]        (all three when none is named)
#
# PYTHON and COLAB_PYTHON choose the interpreters (python3.11; Colab's own is python3.13), TORCH another torch than the
# newest (TORCH=torch==2.13.0), COLAB_TORCH another than Colab's, ENVIRONMENTS a folder that keeps them.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
python=${PYTHON:-python3.11}
folder=${ENVIRONMENTS:-$(mktemp -d)}
[ -n "${ENVIRONMENTS:-}" ] || trap 'rm -rf "$folder"' EXIT

# What the person has before this package comes. Each prints pip's arguments.
newest() { echo --upgrade setuptools "${TORCH:-torch}" numpy ipywidgets; }
colab() { echo -r tools/colab.txt "${COLAB_TORCH:-torch==2.11.0}"; }
no-pkg-resources() { echo "setuptools>=82" "${TORCH:-torch}" numpy; }

# Packages whose release must not change when the requirements are installed.
theirs() { "$1" -m pip freeze --all | grep -iE '^(torch|torchvision|numpy|pillow|ipywidgets|ipython|ipykernel|setuptools)==' | sort; }

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
    said=$(cd "$here" && "$py" -m vqclip_nb paint "a red circle on a blue background" --steps 3 --quiet --out "$here/runs" 2>&1 >/dev/null)
    if [ -n "$said" ]; then
        echo "$name: painting said what is not about us: $said"
        return 1
    fi
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
