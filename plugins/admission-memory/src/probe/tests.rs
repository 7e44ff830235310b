use super::*;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// A system with these files.
fn system(files: &[(&str, &str)]) -> TempDir {
    let root = TempDir::new().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn measure(files: &[(&str, &str)], limit_mib: u32) -> Measured {
    let root = system(files);
    Probe::find(root.path(), limit_mib).unwrap().measure().unwrap()
}

const STATUS: (&str, &str) =
    ("proc/self/status", "Name:\thydra\nVmHWM:\t  900 kB\nVmRSS:\t  2048 kB\nThreads:\t1\n");
const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        8192 kB\nMemFree:          1 kB\n");

#[test]
fn a_named_limit_is_compared_with_the_resident_memory() {
    let group = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "1\n"), STATUS];
    assert_eq!(measure(&group, 3), Measured { used: 2 * MIB, limit: 3 * MIB });
}

#[test]
fn version_2_counts_the_group_without_the_cache_that_is_not_in_use() {
    let files = [
        ("proc/self/cgroup", "0::/system.slice/hydra.service\n"),
        ("sys/fs/cgroup/system.slice/hydra.service/memory.max", "4194304\n"),
        ("sys/fs/cgroup/system.slice/hydra.service/memory.current", "3145728\n"),
        (
            "sys/fs/cgroup/system.slice/hydra.service/memory.stat",
            "anon 9\nactive_file 5\ninactive_file 1048576\n",
        ),
        ("sys/fs/cgroup/system.slice/memory.max", "max\n"),
    ];
    assert_eq!(measure(&files, 0), Measured { used: 2 * MIB, limit: 4 * MIB });
}

#[test]
fn the_limit_that_is_nearest_counts_whichever_group_has_it() {
    let files = [
        ("proc/self/cgroup", "0::/pod/container\n"),
        ("sys/fs/cgroup/pod/container/memory.max", "4194304\n"),
        ("sys/fs/cgroup/pod/container/memory.current", "1048576\n"),
        ("sys/fs/cgroup/pod/memory.max", "8388608\n"),
        ("sys/fs/cgroup/pod/memory.current", "7340032\n"),
    ];
    assert_eq!(measure(&files, 0), Measured { used: 7 * MIB, limit: 8 * MIB });
}

#[test]
fn version_1_has_files_of_its_own_and_a_number_for_no_limit() {
    let files = [
        ("proc/self/cgroup", "11:cpu,cpuacct:/\n4:hugetlb,memory:/docker/1f\n0::/ignored\n"),
        ("sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes", "4194304\n"),
        ("sys/fs/cgroup/memory/docker/1f/memory.usage_in_bytes", "3145728\n"),
        ("sys/fs/cgroup/memory/docker/1f/memory.stat", "inactive_file 7\ntotal_inactive_file 1048576\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
    ];
    assert_eq!(measure(&files, 0), Measured { used: 2 * MIB, limit: 4 * MIB });
}

#[test]
fn a_path_of_the_host_leads_to_the_group_of_the_container() {
    for path in ["/docker/1f", "/../../other", "/"] {
        let cgroup = format!("0::{path}\n");
        let files = [
            ("proc/self/cgroup", cgroup.as_str()),
            ("sys/fs/cgroup/memory.max", "4194304\n"),
            ("sys/fs/cgroup/memory.current", "1048576\n"),
        ];
        assert_eq!(measure(&files, 0), Measured { used: MIB, limit: 4 * MIB }, "{path}");
    }
}

#[test]
fn without_a_limit_the_machine_is_one() {
    let unlimited = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "max\n"), STATUS, MEMINFO];
    assert_eq!(measure(&unlimited, 0), Measured { used: 2 * MIB, limit: 8 * MIB });
    assert_eq!(measure(&[STATUS, MEMINFO], 0), Measured { used: 2 * MIB, limit: 8 * MIB });
}

#[test]
fn a_system_that_tells_nothing_is_an_error_that_names_the_key() {
    let root = system(&[]);
    let error = Probe::find(root.path(), 0).unwrap_err();
    assert!(
        matches!(error.kind(), hydra_api::OpenErrorKind::Config { key } if key == "limit_mib"),
        "{error:?}"
    );
    assert!(Probe::find(root.path(), 1).is_err());
}

#[test]
fn the_machine_of_this_test_is_measured() {
    if cfg!(target_os = "linux") {
        let root = Path::new("/");
        let named = Probe::find(root, 1).unwrap();
        assert!(named.measure().unwrap().permille() > 1_000, "this process takes more than a MiB");
        let found = Probe::find(root, 0).unwrap();
        let measured = found.measure().unwrap();
        assert!(measured.used > 0 && measured.used < measured.limit, "{found}: {measured:?}");
    }
}
