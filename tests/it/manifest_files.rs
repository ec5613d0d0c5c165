//! Where manifests come from: whatever a path leads to, reading it ends and says what was wrong.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use chatapi::diagnostic::Colour;
use chatapi::manifest::{FILE_MAX, Given, Loaded, Manifest, Stdin, load};
use rustix::fs::{CWD, FileType, Mode, mknodat};

const ONE: &str = "instances: [{name: one, type: whatsapp}]\n";
const TWO: &str = "instances: [{name: two, type: whatsapp}]\n";

fn read(paths: &[&Path]) -> Result<Manifest, String> {
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
    Manifest::read(&paths, Stdin::Terminal, &Given::default()).map_err(|problems| problems.render(Colour::Plain))
}

fn count(paths: &[&Path]) -> usize {
    read(paths).unwrap().declarations().len()
}

/// A directory with two manifests and much that is none.
fn team() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("b.yaml", ONE), ("a.yml", TWO), (".hidden.yaml", "{"), ("chatapi.lock", "{"), ("README.md", "{")] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

#[test]
fn a_directory_stands_for_its_manifests_in_order() {
    let directory = team();
    let Loaded { sources, problems } = load(&[directory.path().to_path_buf()], Stdin::Terminal);
    assert!(problems.is_empty());
    let labels: Vec<_> = sources.iter().map(|source| Path::new(source.label().as_ref()).file_name().unwrap()).collect();
    assert_eq!(labels, ["a.yml", "b.yaml"]);
    assert_eq!(count(&[directory.path()]), 2);
}

#[test]
fn a_file_that_is_named_twice_is_read_once() {
    let directory = team();
    let file = directory.path().join("b.yaml");
    let link = directory.path().join("c.yaml");
    symlink(&file, &link).unwrap();
    assert_eq!(count(&[&file, directory.path(), &file, &link]), 2);
}

#[test]
fn standard_input_is_read_where_it_is_named() {
    let mut piped = ONE.as_bytes();
    let manifest = Manifest::read(&["-".into(), "-".into()], Stdin::Piped(&mut piped), &Given::default()).unwrap();
    assert_eq!(manifest.declarations()[0].place.to_string(), "<stdin>:1:20");
    let shown = read(&[Path::new("-")]).unwrap_err();
    assert!(shown.contains("<stdin>") && shown.contains("that is a terminal"), "{shown}");
    let mut untouched = ONE.as_bytes();
    assert!(Manifest::read(&["/nowhere/at/all.yaml".into()], Stdin::Piped(&mut untouched), &Given::default()).is_err());
    assert_eq!(untouched, ONE.as_bytes(), "standard input is left alone where it is not named");
}

#[test]
fn p13_standard_input_without_an_end_is_not_read_to_its_end() {
    let mut endless = std::io::repeat(b'#').take(10 * u64::try_from(FILE_MAX).unwrap());
    let problems = Manifest::read(&["-".into()], Stdin::Piped(&mut endless), &Given::default()).unwrap_err();
    assert!(problems.render(Colour::Plain).contains("the file is longer than 32 MiB"));
    assert!(endless.limit() > 8 * u64::try_from(FILE_MAX).unwrap());
}

#[test]
fn p13_what_is_no_regular_file_is_refused_without_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();
    fs::File::create(at("huge.yaml")).unwrap().set_len(2 << 30).unwrap();
    symlink("loop", at("loop")).unwrap();
    symlink("nowhere", at("dangling.yaml")).unwrap();
    symlink("/dev/zero", at("zero.yaml")).unwrap();
    fs::write(at("file.yaml"), ONE).unwrap();
    fs::create_dir_all(at("empty")).unwrap();
    fs::create_dir_all(at("nested/inner.yaml")).unwrap();
    let long = "x".repeat(5000);
    for (path, problem, why) in [
        ("missing.yaml", "no such file", "nothing there"),
        ("file.yaml/x", "the file cannot be read", "a file where a directory is expected"),
        ("fifo", "a regular file", "a pipe without a writer"),
        ("socket", "a regular file", "a socket"),
        ("/dev/zero", "a regular file", "a device without an end"),
        ("/dev/null", "a regular file", "a device without anything"),
        ("zero.yaml", "a regular file", "a link to a device"),
        ("loop", "the file cannot be read", "a link to itself"),
        ("dangling.yaml", "no such file", "a link to nothing"),
        ("huge.yaml", "longer than 32 MiB", "2 GiB of nothing"),
        ("empty", "no `*.yaml` or `*.yml` file", "an empty directory"),
        ("nested", "a directory within a directory", "a directory named like a manifest"),
        (&long, "the file cannot be read", "a path that is too long"),
        ("", "no such file", "an empty path"),
    ] {
        let target = if path.is_empty() { PathBuf::new() } else { at(path) };
        let shown = read(&[&target]).unwrap_err();
        assert!(shown.contains(problem), "{why}: {shown}");
        let both = read(&[&target, &at("file.yaml")]).unwrap_err();
        assert_eq!(both, shown, "one bad file spoils the manifest: {why}");
    }
}

#[test]
fn a_file_without_permission_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret.yaml");
    fs::write(&file, ONE).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything.
    if !rustix::process::geteuid().is_root() {
        assert!(read(&[&file]).unwrap_err().contains("permission denied"));
    }
}

#[test]
fn problems_with_files_come_with_those_in_files() {
    let directory = tempfile::tempdir().unwrap();
    let bad = directory.path().join("bad.yaml");
    fs::write(&bad, "instances: {}\n").unwrap();
    let shown = read(&[&bad, Path::new("missing\u{1b}[1m.yaml")]).unwrap_err();
    assert!(shown.contains("no such file") && shown.contains("--> missing\\u{1b}[1m.yaml\n"), "{shown}");
    assert!(shown.contains("a list is expected, and this is a mapping") && shown.contains("bad.yaml:1:12"), "{shown}");
}

#[test]
fn no_path_is_no_manifest() {
    assert!(read(&[]).unwrap_err().contains("no manifest was given"));
}

#[test]
fn the_examples_are_good() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for (path, expected) in [("quickstart.yaml", 3), ("production.yaml", 4), ("team", 5)] {
        assert_eq!(count(&[&examples.join(path)]), expected, "{path}");
    }
}
