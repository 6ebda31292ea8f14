//! Which processors this process may use, as the kernel and cgroups allow.

/// Processor numbers the process is allowed to run on, in order; empty when unknown.
#[must_use]
pub fn allowed_cpus() -> Vec<usize> {
    let mut cpus: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    cpus.sort_unstable();
    cpus
}
