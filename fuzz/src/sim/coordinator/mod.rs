//! Simulates the coordinator alone: pods run the gateway's own rules against a model of the store, in one thread with a
//! simulated clock. Pods crash, pause and lose the store, and the store's clock may jump ahead.
//! - The seed determines the whole run.
//! - Checkers examine every step (`model`). At the end, after all faults, there is one leader and no job is left.

pub(crate) mod model;

use std::collections::BTreeMap;
use std::time::Duration;

use ::gateway::pods::election::{Action, Event, LEASE_TTL, Machine, PODS};
use fastrand::Rng;
use serde_json::Value;
use store::coordination::{Act, JOBS, LEASES, Outcome, Step};
use store::{Job, Lease, StoreError};

pub use crate::sim::coordinator::model::Bug;
use crate::sim::coordinator::model::Model;

const SCOPE: &str = "settings";
const QUEUE: &str = "copy";
const JOB_COUNT: usize = 6;
const JOB_LENGTH: u64 = 5;
const CLAIM_TTL: Duration = Duration::from_secs(30);
/// The interval at which a pod's rules look at the clock, in milliseconds.
const TICK: std::ops::Range<u64> = 50..900;
/// After this time a pod takes a missing answer for an error.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long faults occur, and how long none at the end: claims of the last fault have to expire.
const FAULTY: Duration = Duration::from_secs(120);
const QUIET: Duration = Duration::from_secs(120);

/// Figures of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// The number of events.
    pub events: u64,
    /// The number of commits that leaders completed.
    pub commits: u64,
    /// How often the leadership changed to another pod.
    pub leaders: u64,
    pub jobs_completed: usize,
    pub crashes: u64,
    pub pauses: u64,
}

/// A pod's request to the store.
#[derive(Debug, Clone)]
enum Question {
    Machine(Asked),
    Commit { token: u64 },
    Job(Step),
}

/// An action of the rules that expects an answer.
#[derive(Debug, Clone)]
enum Asked {
    Acquire { scope: String },
    Renew { lease: Lease },
    Release { lease: Lease },
    List,
}

#[derive(Debug)]
enum Reply {
    Rules(Event),
    Commit,
    Claimed(Option<Box<Job>>),
    Moved,
    Ended,
    Lost,
}

#[derive(Debug)]
enum Happening {
    Tick { pod: usize, life: u64 },
    Arrives { pod: usize, life: u64, asked_at: Duration, question: Question, cut: bool },
    Answered { pod: usize, life: u64, reply: Reply },
    Fault,
}

struct Pod {
    machine: Machine,
    /// Grows with every start. Events for an earlier life are dropped.
    life: u64,
    /// Paused until then; events that reach it meanwhile are delivered then.
    paused_until: Duration,
    cut_until: Duration,
    down_until: Option<Duration>,
    commits_asked: bool,
    job: Option<Job>,
    job_asked: bool,
}

struct World {
    rng: Rng,
    now: Duration,
    sequence: u64,
    /// By time, then in the order in which they were scheduled.
    happenings: BTreeMap<(Duration, u64), Happening>,
    pods: Vec<Pod>,
    model: Model,
    jumps: bool,
    last_leader: Option<usize>,
    outcomes: Outcomes,
}

/// Runs one seed to its end.
///
/// # Panics
/// When a checker finds a violation; the message names it.
#[must_use]
pub fn run(seed: u64) -> Outcomes {
    run_with(seed, None)
}

/// Like [`run`] with a planted bug, which a checker should find.
///
/// # Panics
/// When a checker finds a violation.
#[must_use]
pub fn run_with(seed: u64, bug: Option<Bug>) -> Outcomes {
    let mut rng = Rng::with_seed(seed);
    let count = rng.usize(2..=5);
    let jumps = rng.bool();
    let mut world = World {
        rng,
        now: Duration::ZERO,
        sequence: 0,
        happenings: BTreeMap::new(),
        pods: (0..count).map(|number| Pod::new(number, 0)).collect(),
        model: Model::with(bug),
        jumps,
        last_leader: None,
        outcomes: Outcomes { events: 0, commits: 0, leaders: 0, jobs_completed: 0, crashes: 0, pauses: 0 },
    };
    for number in 0..JOB_COUNT {
        let act = Act::Enqueue { payload: Value::from(number), attempts_max: 1000 };
        let step = Step { table: JOBS, key: format!("{QUEUE}/{number}"), act };
        let queued = world.model.step(usize::MAX, &step, world.now);
        assert_eq!(queued, Ok(Outcome::Done));
    }
    for pod in 0..count {
        let first = world.delay();
        world.at(first, Happening::Tick { pod, life: 0 });
    }
    world.at(Duration::from_secs(1), Happening::Fault);
    world.run();
    world.finish()
}

impl Pod {
    fn new(number: usize, life: u64) -> Self {
        Self {
            machine: Machine::new(&format!("p{number}"), &[SCOPE]),
            life,
            paused_until: Duration::ZERO,
            cut_until: Duration::ZERO,
            down_until: None,
            commits_asked: false,
            job: None,
            job_asked: false,
        }
    }
}

impl World {
    fn delay(&mut self) -> Duration {
        Duration::from_micros(self.rng.u64(100..40_000))
    }

    fn at(&mut self, time: Duration, happening: Happening) {
        self.sequence += 1;
        self.happenings.insert((time, self.sequence), happening);
    }

    fn run(&mut self) {
        while let Some(((time, _), happening)) = self.happenings.pop_first() {
            if time > FAULTY + QUIET {
                return;
            }
            self.now = time;
            self.outcomes.events += 1;
            match happening {
                Happening::Fault => self.fault(),
                Happening::Tick { pod, life } => self.tick(pod, life),
                Happening::Arrives { pod, life, asked_at, question, cut } => {
                    self.arrives(pod, life, asked_at, question, cut);
                }
                Happening::Answered { pod, life, reply } => self.answered(pod, life, reply),
            }
            self.check_leaders();
        }
    }

    /// Where clocks do not jump, no two pods consider themselves leader at the same time.
    fn check_leaders(&mut self) {
        let leads = |pod: &Pod| pod.down_until.is_none() && pod.machine.held(SCOPE, self.now).is_some();
        let mut leaders = (0..self.pods.len()).filter(|pod| leads(&self.pods[*pod]));
        let (first, second) = (leaders.next(), leaders.next());
        assert!(self.jumps || second.is_none(), "{first:?} and {second:?} both lead at {:?}", self.now);
        if first.is_some() && first != self.last_leader {
            self.last_leader = first;
            self.outcomes.leaders += 1;
        }
    }

    fn fault(&mut self) {
        if self.now >= FAULTY {
            return;
        }
        let pod = self.rng.usize(0..self.pods.len());
        let until = (self.now + Duration::from_millis(self.rng.u64(200..20_000))).min(FAULTY);
        match self.rng.u8(0..8) {
            0 | 1 => {
                self.outcomes.crashes += 1;
                self.pods[pod] = Pod { down_until: Some(until), ..Pod::new(pod, self.pods[pod].life + 1) };
                let life = self.pods[pod].life;
                self.at(until, Happening::Tick { pod, life });
            }
            2 | 3 => {
                self.outcomes.pauses += 1;
                self.pods[pod].paused_until = until;
            }
            4 | 5 => self.pods[pod].cut_until = until,
            // All pods lose the store.
            6 => self.pods.iter_mut().for_each(|pod| pod.cut_until = until),
            _ if self.jumps => self.model.skew += self.rng.u64(1..15_000),
            _ => {}
        }
        let next = self.now + Duration::from_millis(self.rng.u64(100..6_000));
        self.at(next, Happening::Fault);
    }

    /// Delays an event of a paused pod until it wakes.
    fn sleeps(&mut self, pod: usize, happening: Happening) -> Option<Happening> {
        let until = self.pods[pod].paused_until;
        if self.now >= until {
            return Some(happening);
        }
        self.at(until, happening);
        None
    }

    fn tick(&mut self, pod: usize, life: u64) {
        if self.pods[pod].life != life || self.sleeps(pod, Happening::Tick { pod, life }).is_none() {
            return;
        }
        self.pods[pod].down_until = None;
        self.feed(pod, Event::Tick);
        self.work(pod);
        let next = self.now + Duration::from_millis(self.rng.u64(TICK));
        self.at(next, Happening::Tick { pod, life });
    }

    fn feed(&mut self, pod: usize, event: Event) {
        let mut actions = Vec::new();
        self.pods[pod].machine.step(self.now, event, &mut actions);
        for action in actions {
            let asked = match action {
                Action::Acquire { scope } => Asked::Acquire { scope },
                Action::Renew { lease } => Asked::Renew { lease },
                Action::Release { lease } => Asked::Release { lease },
                Action::List => Asked::List,
            };
            self.ask(pod, Question::Machine(asked));
        }
    }

    /// A pod works by virtue of its lease and of its claim.
    fn work(&mut self, number: usize) {
        let now = self.now;
        let pod = &mut self.pods[number];
        let token = pod.machine.held(SCOPE, now).map(|lease| lease.token).filter(|_| !pod.commits_asked);
        let job = (!pod.job_asked && self.rng.u8(0..4) == 0).then(|| pod.job.clone());
        if let Some(token) = token {
            pod.commits_asked = true;
            self.ask(number, Question::Commit { token });
        }
        let Some(job) = job else { return };
        self.pods[number].job_asked = true;
        let (key, act) = match job {
            None => (QUEUE.to_owned(), Act::Claim { holder: format!("p{number}"), ttl: CLAIM_TTL }),
            Some(job) => {
                let (done, token, key) =
                    (job.cursor.as_u64().unwrap_or(0), job.token, format!("{QUEUE}/{}", job.key));
                let cursor = Value::from(done + 1);
                match (done < JOB_LENGTH, self.rng.u8(0..30)) {
                    (_, 0) => (key, Act::Fail { token, reason: "no room".to_owned() }),
                    (true, _) => (key, Act::Progress { token, cursor, ttl: CLAIM_TTL }),
                    (false, _) => (key, Act::Complete { token }),
                }
            }
        };
        self.ask(number, Question::Job(Step { table: JOBS, key, act }));
    }

    fn ask(&mut self, pod: usize, question: Question) {
        let (life, asked_at) = (self.pods[pod].life, self.now);
        let is_cut = asked_at < self.pods[pod].cut_until;
        // A request of a cut-off pod may still arrive; then only its answer is lost.
        if is_cut {
            let reply = unreachable(&question, asked_at);
            self.at(asked_at + TIMEOUT, Happening::Answered { pod, life, reply });
            if self.rng.bool() {
                return;
            }
        }
        let mut arrives = asked_at + self.delay();
        if is_cut {
            arrives += Duration::from_millis(self.rng.u64(0..10_000));
        }
        self.at(arrives, Happening::Arrives { pod, life, asked_at, question, cut: is_cut });
    }

    /// The store performs a request, even if the pod is dead by now.
    fn arrives(&mut self, pod: usize, life: u64, asked_at: Duration, question: Question, cut: bool) {
        let step = |table, key: String, act| Step { table, key, act };
        let (model, now) = (&mut self.model, self.now);
        let reply = match question {
            Question::Machine(Asked::Acquire { scope }) => {
                let act = Act::Acquire { holder: format!("p{pod}"), about: Value::Null, ttl: LEASE_TTL };
                let answer =
                    model.step(pod, &step(LEASES, scope.clone(), act), now).map(|outcome| match outcome {
                        Outcome::Token(token) => token.map(|token| Lease { scope: scope.clone(), token }),
                        Outcome::Done | Outcome::Job(_) | Outcome::State(_) | Outcome::Count(_) => None,
                    });
                Reply::Rules(Event::Acquired { scope, asked_at, answer })
            }
            Question::Machine(Asked::Renew { lease }) => {
                let act = Act::Renew { token: lease.token, ttl: LEASE_TTL };
                let answer = model.step(pod, &step(LEASES, lease.scope.clone(), act), now).map(drop);
                Reply::Rules(Event::Renewed { scope: lease.scope, asked_at, answer })
            }
            Question::Machine(Asked::Release { lease }) => {
                drop(model.step(pod, &step(LEASES, lease.scope, Act::Release { token: lease.token }), now));
                return;
            }
            Question::Machine(Asked::List) => {
                Reply::Rules(Event::Listed { answer: Ok(model.leases(PODS, now)) })
            }
            Question::Commit { token } => {
                drop(model.commit(pod, SCOPE, token));
                Reply::Commit
            }
            Question::Job(asked) => match (model.step(pod, &asked, now), asked.act) {
                (Ok(Outcome::Job(job)), _) => Reply::Claimed(job),
                (Ok(_), Act::Progress { .. }) => Reply::Moved,
                (Ok(_), _) => Reply::Ended,
                (Err(_), _) => Reply::Lost,
            },
        };
        if !cut {
            let back = now + self.delay();
            self.at(back, Happening::Answered { pod, life, reply });
        }
    }

    fn answered(&mut self, number: usize, life: u64, reply: Reply) {
        if self.pods[number].life != life {
            return;
        }
        let happening = Happening::Answered { pod: number, life, reply };
        let Some(Happening::Answered { reply, .. }) = self.sleeps(number, happening) else { return };
        let pod = &mut self.pods[number];
        match reply {
            Reply::Rules(event) => {
                let event = self.spoiled(event);
                self.feed(number, event);
            }
            Reply::Commit => pod.commits_asked = false,
            Reply::Claimed(job) => (pod.job, pod.job_asked) = (job.map(|job| *job), false),
            Reply::Moved => {
                pod.job_asked = false;
                if let Some(job) = &mut pod.job {
                    job.cursor = Value::from(job.cursor.as_u64().unwrap_or(0) + 1);
                }
            }
            Reply::Ended | Reply::Lost => (pod.job, pod.job_asked) = (None, false),
        }
    }

    /// Changes an event as a pod with the planted bug would see it.
    fn spoiled(&self, event: Event) -> Event {
        match (self.model.bug, event) {
            (Some(Bug::LateLease), Event::Acquired { scope, answer, .. }) => {
                Event::Acquired { scope, asked_at: self.now, answer }
            }
            (Some(Bug::LateLease), Event::Renewed { scope, answer, .. }) => {
                Event::Renewed { scope, asked_at: self.now, answer }
            }
            (Some(Bug::NeverGivenUp), Event::Renewed { scope, .. }) => {
                Event::Renewed { scope, asked_at: self.now, answer: Ok(()) }
            }
            (_, event) => event,
        }
    }

    /// After all faults there is one leader, all pods know each other, and no work is left.
    fn finish(mut self) -> Outcomes {
        let leaders = self.pods.iter().filter(|pod| pod.machine.held(SCOPE, self.now).is_some()).count();
        assert_eq!(leaders, 1, "pods that lead at the end");
        for pod in &self.pods {
            assert_eq!(pod.machine.pods().len(), self.pods.len(), "{:?}", pod.machine.pods());
        }
        assert_eq!(self.model.jobs(self.now), [], "jobs are left over");
        self.outcomes.jobs_completed = self.model.completed();
        self.outcomes.commits = self.model.commits.values().sum();
        self.outcomes
    }
}

/// The reply that a pod sees when a request gets no answer.
fn unreachable(question: &Question, asked_at: Duration) -> Reply {
    let gone = || StoreError::Unreachable("no answer".to_owned());
    match question {
        Question::Machine(Asked::Acquire { scope }) => {
            Reply::Rules(Event::Acquired { scope: scope.clone(), asked_at, answer: Err(gone()) })
        }
        Question::Machine(Asked::Renew { lease }) => {
            Reply::Rules(Event::Renewed { scope: lease.scope.clone(), asked_at, answer: Err(gone()) })
        }
        Question::Machine(Asked::Release { .. } | Asked::List) => {
            Reply::Rules(Event::Listed { answer: Err(gone()) })
        }
        Question::Commit { .. } => Reply::Commit,
        Question::Job(_) => Reply::Lost,
    }
}
