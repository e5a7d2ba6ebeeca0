"""What a person installs: a wheel built from the files that git holds, and the service by deploy/install.sh.

Compiling takes most of the time, so it is told not to optimize; the service is built by profile.
"""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUICK = {"CFLAGS": "-O0"}


def run(
    *line: str | Path, cwd: Path | None = None, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command, in an environment that knows nothing of the checkout."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "SIPHOND"))
    }
    done = subprocess.run(
        [str(word) for word in line],
        cwd=cwd,
        env=clean | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0 or not check, f"{line}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The files that are or can be committed, without anything that was built."""
    copy = tmp_path_factory.mktemp("checkout")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def service(checkout, tmp_path_factory):
    """The tree that install.sh has made below a directory of ours, compiled by profile."""
    root = tmp_path_factory.mktemp("machine")
    run(checkout / "deploy/install.sh", "--pgo", "--root", root, PYTHON=sys.executable, **QUICK)
    return root


@pytest.fixture(scope="module")
def fresh(tmp_path_factory, checkout):
    """A new environment into which `pip install .` has put siphond."""
    place = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", place)
    run(place / "bin/pip", "install", "--quiet", ".", cwd=checkout, **QUICK)
    return place / "bin"


def test_pip_installs_working_programs_that_need_no_checkout(fresh, tmp_path):
    assert run(fresh / "siphond", "--version", cwd=tmp_path).stdout.startswith("siphond ")
    assert "status" in run(fresh / "siphonctl", "--help", cwd=tmp_path).stdout
    assert "--check" in run(fresh / "siphond", "--help", cwd=tmp_path).stdout


def test_only_the_three_packages_are_installed_compiled_and_typed(fresh, tmp_path):
    wheel = run(fresh / "pip", "show", "--files", "siphond", cwd=tmp_path).stdout
    files = [line.strip() for line in wheel.partition("Files:")[2].splitlines() if line.strip()]
    tops = {name.split("/")[0] for name in files if not name.startswith((".", "siphond-"))}
    assert tops == {"siphon", "workers", "shm"}
    assert not [name for name in files if name.endswith((".c", ".h"))], "no generated C"
    assert {f"{top}/py.typed" for top in tops} <= set(files)
    sources = [path for top in tops for pattern in ("*_cy.py", "*.pyx") for path in (ROOT / top).rglob(pattern)]
    for path in sources:
        stem = str(path.relative_to(ROOT).with_suffix(""))
        assert [name for name in files if name.startswith(f"{stem}.") and name.endswith(".so")], (
            f"{stem} is not compiled"
        )
    for path in (path for top in tops for path in (ROOT / top).rglob("*.px[di]")):
        assert str(path.relative_to(ROOT)) in files


def test_without_a_compiler_the_build_says_what_is_missing(checkout, tmp_path):
    done = run(
        sys.executable,
        "setup.py",
        "build_ext",
        "--build-lib",
        tmp_path,
        cwd=checkout,
        check=False,
        CC="no-such-compiler",
    )
    assert done.returncode != 0
    assert "needs a C compiler; 'no-such-compiler' was not found (Debian: gcc libc6-dev)" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_service_is_laid_out_and_its_configuration_has_no_users(service):
    text = (service / "etc/siphon/siphon.cfg").read_text()
    assert "secret" not in text.replace("the secret of", "")
    assert 'path = "/dev/shm/siphond" ' in text, "the same for the service and for root"
    assert "alice" not in text + (service / "etc/siphon/users.toml").read_text()
    assert (service / "etc/siphon/users.toml").stat().st_mode & 0o007 == 0
    assert (service / "var/lib/siphond").stat().st_mode & 0o777 == 0o700
    assert (service / "etc/systemd/system/siphond.service").read_text() == (ROOT / "deploy/siphond.service").read_text()
    assert os.readlink(service / "usr/local/bin/siphonctl") == "/opt/siphond/bin/siphonctl"
    assert "file:///opt/siphond/README.md" in (service / "etc/systemd/system/siphond.service").read_text()
    assert (service / "opt/siphond/README.md").exists() and (service / "opt/siphond/docs/configuration.md").exists()


def test_the_service_is_compiled_by_profile_if_asked_and_pip_compiles_without(service, fresh):
    for place, flags in ((service / "opt/siphond", True), (fresh.parent, False)):
        modules = list(place.glob("lib/python*/site-packages/siphon/engine/*.so"))
        assert modules and {b"-fprofile-use" in module.read_bytes() for module in modules} == {flags}
        assert not [module for module in modules if b"__gcov" in module.read_bytes()], "no counters are left"
        assert not [module for module in modules if b" -O2" in module.read_bytes()], "CFLAGS was heard"


@pytest.mark.parametrize(
    ("value", "more", "said"),
    [
        ("yes", {}, "SIPHOND_PGO is count:DIR or use:DIR, not 'yes'"),
        ("use:nowhere", {}, "nothing was counted in nowhere"),
        ("count:here", {"CC": "true"}, "profile-guided optimization needs GCC; 'true' is another compiler"),
    ],
)
def test_what_cannot_be_built_by_profile_is_said(value, more, said, checkout):
    done = run(sys.executable, "setup.py", "build_ext", cwd=checkout, check=False, SIPHOND_PGO=value, **more)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr


def test_the_installed_program_accepts_the_installed_configuration(service, tmp_path):
    program, configuration = service / "opt/siphond/bin/siphond", service / "etc/siphon/siphon.cfg"
    done = run(program, "-c", configuration, "--check", cwd=tmp_path, STATE_DIRECTORY=str(tmp_path))
    assert f"{configuration}: ok" in done.stdout


def test_installing_again_and_uninstalling_keep_what_the_administrator_wrote(service, checkout, tmp_path):
    machine = tmp_path / "machine"
    shutil.copytree(service, machine, symlinks=True)
    changed = machine / "etc/siphon/siphon.cfg"
    changed.write_text("# mine\n")
    (machine / "var/lib/siphond/secret").write_text("kept")
    done = run(checkout / "deploy/uninstall.sh", "--root", machine)
    assert f"removed    {machine}/opt/siphond" in done.stdout
    assert not (machine / "opt/siphond").exists()
    assert not (machine / "etc/systemd/system/siphond.service").exists()
    assert not list((machine / "usr/local/bin").iterdir())
    assert changed.read_text() == "# mine\n"
    assert (machine / "var/lib/siphond/secret").read_text() == "kept"
    run(checkout / "deploy/uninstall.sh", "--root", machine, "--purge")
    assert not (machine / "etc/siphon").exists()
    assert not (machine / "var/lib/siphond").exists()


def test_install_never_overwrites_a_configuration(service, checkout):
    """The part of the script that writes /etc/siphon, on a machine that has one."""
    changed = service / "etc/siphon/siphon.cfg"
    before = changed.read_text()
    changed.write_text("# mine\n")
    text = (checkout / "deploy/install.sh").read_text()
    only = text.replace("make_user\ninstall_program\ninstall_configuration\ninstall_unit\n", "install_configuration\n")
    assert only != text
    script = checkout / "deploy/only-configuration.sh"
    script.write_text(only)
    done = run("sh", script, "--root", service)
    assert f"kept       {changed}" in done.stdout
    assert changed.read_text() == "# mine\n"
    changed.write_text(before)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may install")
def test_installing_needs_root(checkout):
    done = run(checkout / "deploy/install.sh", check=False)
    assert (done.returncode, "must be root" in done.stderr) == (1, True)


def test_a_source_distribution_holds_every_source(checkout, tmp_path):
    run(sys.executable, "setup.py", "-q", "sdist", "--dist-dir", tmp_path, cwd=checkout)
    (archive,) = tmp_path.glob("siphond-*.tar.gz")
    with tarfile.open(archive) as packed:
        held = {name.partition("/")[2] for name in packed.getnames()}
    for package in ("siphon", "workers", "shm"):
        for pattern in ("*.py", "*.pyx", "*.px[di]", "*.pyi", "py.typed"):
            assert {str(path.relative_to(checkout)) for path in (checkout / package).rglob(pattern)} <= held
