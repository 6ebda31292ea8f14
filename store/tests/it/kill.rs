//! What was acknowledged survives `kill -9`. The test runs itself as a child that writes with several threads and
//! prints each answer. The parent kills it after a random number of lines, opens the store and compares. All rounds use
//! the same directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use fastrand::Rng;
use serde_json::{Value, json};
use store::{OpenError, Store, Table, TaskRecord, TaskStatus, open_sled};
use tempfile::TempDir;

use crate::support::{FORKING, at, finish, new_task, open, wait};

const CHILD_DIRECTORY: &str = "STORE_TEST_KILL_DIRECTORY";
const CHILD_ROUND: &str = "STORE_TEST_KILL_ROUND";
const ROUNDS: u64 = 24;
const WRITERS: u64 = 12;
const RECORDS: Table = Table::named("kill_test");

#[test]
fn what_was_answered_survives_a_kill() {
    if let (Ok(directory), Ok(round)) = (std::env::var(CHILD_DIRECTORY), std::env::var(CHILD_ROUND)) {
        write_until_killed(Path::new(&directory), &round);
    }
    let directory = TempDir::new().unwrap();
    let mut random = Rng::with_seed(9);
    let mut answered = Answered::default();
    for round in 0..ROUNDS {
        run_and_kill(directory.path(), round, random.usize(1..400), &mut answered);
        let (store, thread) = open(directory.path());
        answered.check(&store, round);
        thread.join().unwrap();
    }
    assert!(answered.deleted.len() > 20 && answered.tasks.len() > 20, "the test wrote too little");
}

/// Each writer repeats: create a task, finish it, delete every third, increment a record.
fn write_until_killed(directory: &Path, round: &str) -> ! {
    let (store, _thread) = open(directory);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, name) = (store.clone(), format!("{round}-{writer}"));
            thread::spawn(move || write_forever(&store, &name))
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    unreachable!("writers never end");
}

fn write_forever(store: &Store, name: &str) {
    let mut revision = None;
    for count in 0_u64.. {
        let mut new = new_task(name, at(0));
        new.details = Some(json!({"count": count}));
        let uid = wait(store.create_task(new)).unwrap().uid;
        println!("{}", json!(["created", uid, name, count]));
        wait(store.update_task(uid, finish(TaskStatus::Succeeded, at(1)))).unwrap();
        println!("{}", json!(["finished", uid]));
        if uid.is_multiple_of(3) {
            wait(store.delete_tasks(vec![uid])).unwrap();
            println!("{}", json!(["deleted", uid]));
        }
        revision = Some(wait(store.put_record(RECORDS, name, json!(count), revision)).unwrap());
        println!("{}", json!(["record", name, count]));
    }
}

fn run_and_kill(directory: &Path, round: u64, lines_max: usize, answered: &mut Answered) {
    let forking = FORKING.lock();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::what_was_answered_survives_a_kill", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIRECTORY, directory)
        .env(CHILD_ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(forking);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let mut count = 0;
    while output.read_line(&mut line).unwrap() > 0 {
        // The test harness prints lines of its own, and the kill may truncate the last one.
        if line.ends_with('\n')
            && let Some(start) = line.find('[')
            && let Ok(answer) = serde_json::from_str(&line[start..])
        {
            answered.note(&answer);
            count += 1;
        }
        if count == lines_max {
            if round == 0 {
                let error = open_sled(directory).err().unwrap();
                assert!(matches!(error, OpenError::Locked { .. }), "{error}");
            }
            // This is SIGKILL. The parent still reads what the child wrote before it.
            child.kill().unwrap();
            count += 1;
        }
        line.clear();
    }
    child.wait().unwrap();
    assert!(count > lines_max, "the child ended by itself");
}

/// What was acknowledged to the child, over all rounds.
#[derive(Default)]
struct Answered {
    tasks: BTreeMap<u32, Expected>,
    deleted: BTreeSet<u32>,
    records: BTreeMap<String, u64>,
}

struct Expected {
    index: String,
    count: u64,
    finished: bool,
}

impl Answered {
    fn note(&mut self, answer: &Value) {
        let uid = || u32::try_from(answer[1].as_u64().unwrap()).unwrap();
        match answer[0].as_str().unwrap() {
            "created" => {
                let index = answer[2].as_str().unwrap().to_owned();
                let expected = Expected { index, count: answer[3].as_u64().unwrap(), finished: false };
                assert!(self.tasks.insert(uid(), expected).is_none(), "uid {} was given twice", uid());
                assert!(!self.deleted.contains(&uid()), "uid {} was given again", uid());
            }
            "finished" => self.tasks.get_mut(&uid()).unwrap().finished = true,
            "deleted" => {
                self.tasks.remove(&uid());
                self.deleted.insert(uid());
            }
            "record" => {
                self.records.insert(answer[1].as_str().unwrap().to_owned(), answer[2].as_u64().unwrap());
            }
            other => panic!("unknown answer {other}"),
        }
    }

    /// Each writer may have had one step in flight at the kill, which may or may not have happened.
    fn check(&mut self, store: &Store, round: u64) {
        let mut vanished = Vec::new();
        for (&uid, expected) in &self.tasks {
            match wait(store.task(uid)).unwrap() {
                Some(task) => expected.check(&task),
                None if uid.is_multiple_of(3) && expected.finished => vanished.push(uid),
                None => panic!("round {round}: task {uid} is lost"),
            }
        }
        assert!(vanished.len() as u64 <= WRITERS, "round {round}: {vanished:?} are lost");
        for uid in vanished {
            self.tasks.remove(&uid);
            self.deleted.insert(uid);
        }
        for &uid in &self.deleted {
            assert_eq!(wait(store.task(uid)), Ok(None), "round {round}: task {uid} is back");
        }
        for (name, &count) in &self.records {
            let stored = wait(store.record(RECORDS, name)).unwrap().unwrap().value;
            assert!(stored == count || stored == count + 1, "round {round}: {name} is {stored}, not {count}");
        }
    }
}

impl Expected {
    fn check(&self, task: &TaskRecord) {
        assert_eq!(task.index_uid.as_deref(), Some(self.index.as_str()));
        assert_eq!(task.details, Some(json!({"count": self.count})));
        assert!(task.status == TaskStatus::Succeeded || !self.finished, "task {} is not finished", task.uid);
    }
}
