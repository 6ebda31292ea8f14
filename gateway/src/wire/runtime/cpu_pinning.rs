//! The processors that data cores are pinned to, as the kernel and cgroups allow.

/// The processor of each of `cores` threads; empty where pinning would do harm. With more threads than processors
/// they would pile up, and under a quota of processor time several processes of a machine would choose the same
/// processors.
#[must_use]
pub fn pinned_cpus(cores: usize) -> Vec<usize> {
    // The affinity mask; the standard library knows how much of it may be used at once, quotas included.
    let mut cpus: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    let at_once = std::thread::available_parallelism().map_or(0, usize::from);
    if cpus.len() < cores || at_once < cpus.len() {
        return Vec::new();
    }
    cpus.sort_unstable();
    cpus.truncate(cores);
    cpus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_pinned_one_to_a_processor_or_not_at_all() {
        assert!(pinned_cpus(100_000).is_empty());
        let pinned = pinned_cpus(1);
        assert!(pinned.len() <= 1);
    }
}
