//! One thread that simulates all machines: tasks, a clock, and the order of all events.
//! - Something happens only when a task is polled or a timer is due. The seed decides which is next.
//! - A task belongs to a site, a machine: it stops while the site is paused, and is dropped when the site is killed.
//! - Time passes only between tasks, a microsecond for each turn, so that no task can wait forever in vain.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;

/// A machine.
pub(super) type Site = usize;

/// The time at which every run begins, since 1970.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);
const TURN: Duration = Duration::from_micros(1);

type Running = Pin<Box<dyn Future<Output = ()>>>;
type Watcher = Rc<dyn Fn(Site)>;
type Queue = Arc<Mutex<VecDeque<u64>>>;

pub(super) struct Kernel {
    /// The initial value of the executors' clock; only differences count.
    begun: Instant,
    now: Cell<Duration>,
    sequence: Cell<u64>,
    rng: RefCell<Rng>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    ready: Queue,
    timers: RefCell<BTreeMap<(Duration, u64), Due>>,
    /// The times until which sites are paused.
    paused: RefCell<BTreeMap<Site, Duration>>,
    running: Cell<Site>,
    /// Called with the site after each of its turns.
    watchers: RefCell<Vec<Watcher>>,
    trace: RefCell<DefaultHasher>,
    turns: Cell<u64>,
}

struct Task {
    site: Site,
    /// `None` while it runs.
    future: Option<Running>,
    alarm: Arc<Alarm>,
}

enum Due {
    Wake(Waker),
    Call(Box<dyn FnOnce()>),
}

/// Puts its task into the queue, once per turn.
struct Alarm {
    task: u64,
    is_queued: AtomicBool,
    ready: Queue,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::SeqCst) {
            lock(&self.ready).push_back(self.task);
        }
    }
}

fn lock(queue: &Queue) -> std::sync::MutexGuard<'_, VecDeque<u64>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Kernel>>> = const { RefCell::new(None) };
}

/// The kernel of this thread's run.
///
/// # Panics
/// Outside of a run.
pub(super) fn kernel() -> Rc<Kernel> {
    CURRENT.with_borrow(Clone::clone).expect("this thread is in a run")
}

/// The time of day: that of the run or, outside of one, of the system.
pub(super) fn wall() -> SystemTime {
    match CURRENT.with_borrow(Clone::clone) {
        Some(kernel) => UNIX_EPOCH + EPOCH + kernel.now(),
        None => SystemTime::now(),
    }
}

/// The time and site of the current event, for messages.
pub(super) fn place() -> (Duration, Site) {
    CURRENT.with_borrow(|kernel| {
        kernel.as_ref().map_or((Duration::ZERO, 0), |kernel| (kernel.now(), kernel.site()))
    })
}

/// Keeps a run's kernel registered while it exists.
pub(super) struct Run(pub(super) Rc<Kernel>);

impl Run {
    pub(super) fn begin(seed: u64) -> Self {
        let kernel = Rc::new(Kernel::new(seed));
        CURRENT.set(Some(Rc::clone(&kernel)));
        Self(kernel)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // The tasks' destructors may use the kernel.
        self.0.clear();
        CURRENT.set(None);
    }
}

impl Kernel {
    fn new(seed: u64) -> Self {
        Self {
            begun: Instant::now(),
            now: Cell::default(),
            sequence: Cell::default(),
            rng: RefCell::new(Rng::with_seed(seed)),
            tasks: RefCell::default(),
            ready: Queue::default(),
            timers: RefCell::default(),
            paused: RefCell::default(),
            running: Cell::default(),
            watchers: RefCell::default(),
            trace: RefCell::default(),
            turns: Cell::default(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.now.get()
    }

    pub(super) fn instant(&self) -> Instant {
        self.begun + self.now.get()
    }

    /// The time since 1970, as the store counts it.
    pub(super) fn since_1970(&self) -> Duration {
        EPOCH + self.now.get()
    }

    pub(super) fn turns(&self) -> u64 {
        self.turns.get()
    }

    /// The site whose task is running.
    pub(super) fn site(&self) -> Site {
        self.running.get()
    }

    pub(super) fn random<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.rng.borrow_mut())
    }

    /// Records a fact that must be equal in two runs of one seed.
    pub(super) fn note(&self, fact: impl Hash) {
        let mut trace = self.trace.borrow_mut();
        self.now.get().hash(&mut *trace);
        fact.hash(&mut *trace);
    }

    /// A hash of all recorded facts.
    pub(super) fn trace(&self) -> u64 {
        self.trace.borrow().finish()
    }

    pub(super) fn watch(&self, watcher: impl Fn(Site) + 'static) {
        self.watchers.borrow_mut().push(Rc::new(watcher));
    }

    fn number(&self) -> u64 {
        self.sequence.set(self.sequence.get() + 1);
        self.sequence.get()
    }

    /// Calls `call` at a time; at the next turn if that has passed.
    pub(super) fn at(&self, time: Duration, call: impl FnOnce() + 'static) {
        let due = (time.max(self.now()), self.number());
        self.timers.borrow_mut().insert(due, Due::Call(Box::new(call)));
    }

    fn wake_at(&self, time: Duration, waker: Waker) -> (Duration, u64) {
        let due = (time, self.number());
        self.timers.borrow_mut().insert(due, Due::Wake(waker));
        due
    }

    fn forget(&self, timer: (Duration, u64)) {
        self.timers.borrow_mut().remove(&timer);
    }

    /// Runs `act` on behalf of a site.
    pub(super) fn on<T>(&self, site: Site, act: impl FnOnce() -> T) -> T {
        let before = self.running.replace(site);
        let outcome = act();
        self.running.set(before);
        outcome
    }

    /// Runs a future on the current site.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let task = self.add(Box::pin(future));
        self.wake(task);
    }

    /// Like `spawn`, and polls the future right away.
    pub(super) fn start(&self, future: impl Future<Output = ()> + 'static) {
        let task = self.add(Box::pin(future));
        self.turn(task);
    }

    fn add(&self, future: Running) -> u64 {
        let task = self.number();
        let alarm = Alarm { task, is_queued: AtomicBool::new(false), ready: Arc::clone(&self.ready) };
        let entry = Task { site: self.site(), future: Some(future), alarm: Arc::new(alarm) };
        self.tasks.borrow_mut().insert(task, entry);
        task
    }

    fn wake(&self, task: u64) {
        let alarm = self.tasks.borrow().get(&task).map(|task| Arc::clone(&task.alarm));
        alarm.into_iter().for_each(Wake::wake);
    }

    /// Pauses a site: none of its tasks has a turn before `until`.
    pub(super) fn pause(&self, site: Site, until: Duration) {
        self.paused.borrow_mut().insert(site, until);
    }

    /// Ends all tasks of a site.
    pub(super) fn kill(&self, site: Site) {
        let doomed: Vec<u64> =
            self.tasks.borrow().iter().filter(|(_, task)| task.site == site).map(|(id, _)| *id).collect();
        self.paused.borrow_mut().remove(&site);
        self.on(site, || {
            for task in doomed {
                let task = self.tasks.borrow_mut().remove(&task);
                drop(task);
            }
        });
        // Drops the tasks that a task spawned while it was dropped.
        let rest: Vec<_> = {
            let mut tasks = self.tasks.borrow_mut();
            let rest: Vec<u64> =
                tasks.iter().filter(|(_, task)| task.site == site).map(|(id, _)| *id).collect();
            rest.into_iter().filter_map(|task| tasks.remove(&task)).collect()
        };
        self.on(site, || drop(rest));
    }

    fn clear(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
        let timers = std::mem::take(&mut *self.timers.borrow_mut());
        drop(timers);
        let late = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(late);
        let watchers = std::mem::take(&mut *self.watchers.borrow_mut());
        drop(watchers);
    }

    /// Runs all events up to `end`.
    pub(super) fn run_until(&self, end: Duration) {
        self.run_while(end, || true);
    }

    /// Runs all events up to `end`, or until `goes_on` is false after one of them; then time stands where it was.
    pub(super) fn run_while(&self, end: Duration, goes_on: impl Fn() -> bool) {
        loop {
            if !goes_on() {
                return;
            }
            if let Some(task) = self.next_ready() {
                self.turn(task);
                continue;
            }
            let first = self.timers.borrow_mut().first_entry().and_then(|entry| {
                let time = entry.key().0;
                (time <= end).then(|| (time, entry.remove()))
            });
            let Some((time, due)) = first else { break };
            self.now.set(self.now().max(time));
            match due {
                Due::Wake(waker) => waker.wake(),
                Due::Call(call) => call(),
            }
        }
        self.now.set(self.now().max(end));
    }

    /// Usually the task that has waited longest; sometimes any.
    fn next_ready(&self) -> Option<u64> {
        let mut ready = lock(&self.ready);
        let at = match ready.len() {
            0 => return None,
            1 => 0,
            count => self.random(|rng| if rng.u8(0..4) == 0 { rng.usize(0..count) } else { 0 }),
        };
        ready.remove(at)
    }

    fn turn(&self, id: u64) {
        let (site, taken, alarm) = {
            let mut tasks = self.tasks.borrow_mut();
            // The task has ended, or its site was killed.
            let Some(task) = tasks.get_mut(&id) else { return };
            let paused = self.paused.borrow().get(&task.site).copied().unwrap_or_default();
            if paused > self.now() {
                // The task's alarm still considers it queued.
                let ready = Arc::clone(&self.ready);
                drop(tasks);
                return self.at(paused, move || lock(&ready).push_back(id));
            }
            (task.site, task.future.take(), Arc::clone(&task.alarm))
        };
        let Some(mut future) = taken else { return };
        alarm.is_queued.store(false, Ordering::SeqCst);
        self.now.set(self.now() + TURN);
        self.turns.set(self.turns() + 1);
        self.note((site, id));
        let waker = Waker::from(alarm);
        let is_over = self.on(site, || future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        if is_over {
            self.on(site, || drop(future));
            let ended = self.tasks.borrow_mut().remove(&id);
            drop(ended);
        } else {
            let killed = match self.tasks.borrow_mut().get_mut(&id) {
                Some(task) => {
                    task.future = Some(future);
                    None
                }
                None => Some(future),
            };
            self.on(site, || drop(killed));
        }
        let watchers = self.watchers.borrow().clone();
        watchers.iter().for_each(|watcher| watcher(site));
    }
}

/// A future that completes at a given time.
pub(super) struct Sleep {
    until: Duration,
    timer: Option<(Duration, u64)>,
}

pub(super) fn sleep(duration: Duration) -> Sleep {
    Sleep { until: kernel().now().saturating_add(duration), timer: None }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let kernel = kernel();
        self.timer.take().into_iter().for_each(|timer| kernel.forget(timer));
        if kernel.now() >= self.until {
            return Poll::Ready(());
        }
        self.timer = Some(kernel.wake_at(self.until, context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let Some(timer) = self.timer.take() else { return };
        CURRENT.with_borrow(|kernel| kernel.iter().for_each(|kernel| kernel.forget(timer)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_sleep_stand_still_and_are_killed() {
        let run = Run::begin(1);
        let kernel = &run.0;
        let heard = Rc::new(RefCell::new(Vec::new()));
        for site in 0..3 {
            let heard = Rc::clone(&heard);
            kernel.on(site, || {
                super::kernel().spawn(async move {
                    for _ in 0..3 {
                        sleep(Duration::from_secs(1)).await;
                        heard.borrow_mut().push((site, super::kernel().now().as_secs()));
                    }
                });
            });
        }
        kernel.pause(1, Duration::from_secs(5));
        kernel.at(Duration::from_millis(2500), || super::kernel().kill(2));
        kernel.run_until(Duration::from_secs(20));
        let of = |site| {
            heard.borrow().iter().filter(|heard| heard.0 == site).map(|heard| heard.1).collect::<Vec<_>>()
        };
        assert_eq!(of(0), [1, 2, 3]);
        assert_eq!(of(1), [6, 7, 8], "its first turn was after the pause");
        assert_eq!(of(2), [1, 2]);
        assert_eq!(kernel.now(), Duration::from_secs(20));
    }
}
