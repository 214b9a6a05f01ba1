//! Landlock: files once more, whatever the mounts let through.

use std::error::Error;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, Scope,
};

use super::root::{HARNESS, HARNESS_LINK, LIBRARIES, PYTHON, WORK};

/// The rights that every kernel must know; those on networks and signals, which came later, only repeat what namespaces
/// and seccomp hold already.
const REQUIRED: ABI = ABI::V3;

/// Leaves this process to read and run the interpreter, to use devices, and to write in [`WORK`].
pub(super) fn restrict() -> Result<(), Box<dyn Error>> {
    let all = AccessFs::from_all(REQUIRED);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(all)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessNet::from_all(ABI::V4))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?;
    for (path, rights) in [
        (PYTHON, read | AccessFs::Execute),
        (LIBRARIES, read | AccessFs::Execute),
        ("/lib64", read | AccessFs::Execute),
        (HARNESS, AccessFs::ReadFile.into()),
        (HARNESS_LINK, AccessFs::ReadFile.into()),
        ("/dev", AccessFs::ReadFile | AccessFs::WriteFile),
        (WORK, all & !BitFlags::from(AccessFs::Execute)),
    ] {
        if Path::new(path).exists() {
            rules = rules.add_rule(PathBeneath::new(PathFd::new(path)?, rights))?;
        }
    }
    rules.restrict_self()?;
    Ok(())
}
