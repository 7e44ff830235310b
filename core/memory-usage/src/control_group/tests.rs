//! Groups as files in a temporary directory.

use super::*;
use tempfile::TempDir;

/// A machine: its mounts, and a directory of a process in `/proc`.
struct Machine(TempDir);

impl Machine {
    fn new(cgroup: &str, mountinfo: &str) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("proc/cgroup", cgroup);
        let mountinfo = mountinfo.replace("$ROOT", machine.0.path().to_str().unwrap());
        machine.write("proc/mountinfo", &mountinfo);
        machine
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn groups(&self) -> Vec<ControlGroup> {
        ControlGroup::all_of(&self.0.path().join("proc"))
    }

    /// The groups, as paths below the machine's root.
    fn paths(&self) -> Vec<String> {
        let below = |group: &ControlGroup| group.dir.strip_prefix(self.0.path()).unwrap().to_owned();
        self.groups().iter().map(|group| below(group).to_str().unwrap().to_owned()).collect()
    }

    /// What the groups say, the innermost first.
    fn read(&self) -> Vec<Option<(u64, u64)>> {
        self.groups().iter().map(|group| group.read().unwrap()).collect()
    }
}

const V2: &str = "30 23 0:26 / $ROOT/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const V1: &str = "31 23 0:28 / $ROOT rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / $ROOT/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / $ROOT/memory rw,relatime shared:7 master:2 - cgroup cgroup rw,memory
41 31 0:38 / $ROOT/unified rw,relatime - cgroup2 cgroup2 rw\n";
const STAT_V2: &str =
    "anon 400\nfile 300\nslab_reclaimable 7\ninactive_file 200\nactive_file 100\nworkingset 9\n";

#[test]
fn version_2_subtracts_the_file_cache_and_knows_the_groups_above() {
    let machine = Machine::new("0::/pods/node\n", V2);
    machine.write("cgroup/pods/memory.max", "max\n");
    machine.write("cgroup/pods/node/memory.max", "1000\n");
    machine.write("cgroup/pods/node/memory.high", "max\n");
    machine.write("cgroup/pods/node/memory.current", "907\n");
    machine.write("cgroup/pods/node/memory.stat", STAT_V2);
    assert_eq!(machine.paths(), ["cgroup/pods/node", "cgroup/pods", "cgroup"]);
    assert_eq!(machine.read(), [Some((1_000, 600)), None, None], "the root has no such files");
    machine.write("cgroup/pods/node/memory.high", "900\n");
    machine.write("cgroup/pods/memory.max", "2000\n");
    machine.write("cgroup/pods/memory.current", "1999\n");
    assert_eq!(
        machine.read(),
        [Some((900, 600)), Some((2_000, 1_999)), None],
        "without memory.stat all counts"
    );
}

#[test]
fn version_1_counts_the_groups_below_as_well() {
    let machine = Machine::new("9:name=systemd:/\n4:cpuset,memory:/a/b\n1:cpu:/\n0::/\n", V1);
    let limits =
        [("memory", "9223372036854771712"), ("memory/a", "800"), ("memory/a/b", "9223372036854771712")];
    for (group, limit) in limits {
        machine.write(&format!("{group}/memory.limit_in_bytes"), limit);
        machine.write(&format!("{group}/memory.usage_in_bytes"), "700\n");
        let stat = "cache 5\ninactive_file 1\ntotal_inactive_file 60\ntotal_active_file 40\n";
        machine.write(&format!("{group}/memory.stat"), stat);
    }
    assert_eq!(machine.paths(), ["memory/a/b", "memory/a", "memory"]);
    assert_eq!(machine.read(), [None, Some((800, 600)), None]);
}

#[test]
fn in_a_container_the_mounted_group_is_that_of_the_process() {
    let mount = V2.replace("0:26 /", "0:26 /docker/abc");
    let machine = Machine::new("0::/docker/abc/inner\n", &mount);
    machine.write("cgroup/inner/memory.max", "1\n");
    assert_eq!(machine.paths(), ["cgroup/inner", "cgroup"]);
    // The path is that of the host, and nothing of it is to be seen here.
    let machine = Machine::new("0::/docker/other\n", V2);
    machine.write("cgroup/memory.max", "1\n");
    assert_eq!(machine.paths(), ["cgroup"]);
    // A group beside the root of the namespace.
    let machine = Machine::new("0::/../beside\n", V2);
    machine.write("cgroup/memory.max", "1\n");
    machine.write("beside/memory.max", "1\n");
    assert_eq!(machine.paths(), ["cgroup"]);
}

#[test]
fn a_place_with_spaces_is_found() {
    let machine = Machine::new("0::/\n", &V2.replace("/cgroup ", "/control\\040group "));
    machine.write("control group/memory.max", "1\n");
    assert_eq!(machine.paths(), ["control group"]);
}

#[test]
fn without_control_groups_there_are_none() {
    assert_eq!(Machine::new("", "").groups(), []);
    assert_eq!(Machine::new("0::/\n", "22 1 0:1 / / rw - ext4 /dev/sda rw\n").groups(), []);
    assert_eq!(Machine::new("nonsense\n:\n", "nonsense\n - \n").groups(), []);
    assert_eq!(ControlGroup::all_of(Path::new("/nowhere")), []);
}

#[test]
fn files_that_are_no_numbers_are_an_error() {
    let machine = Machine::new("0::/\n", V2);
    machine.write("cgroup/memory.max", "many\n");
    assert!(machine.groups()[0].read().is_err());
    machine.write("cgroup/memory.max", "5\n");
    assert!(machine.groups()[0].read().is_err(), "its use is unknown");
}
