//! Work about many people on all cores, while the calling thread looks after Python.
//!
//! The work is cut into groups of people, which the workers take one after the other from a common
//! queue: nobody is idle while there is work, however uneven it is. What comes of a group depends on
//! the group alone, not on who takes it or when.

use std::{
    mem, process,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use inhabit_core::{Error, Result as CoreResult};
use pyo3::{exceptions::PyOSError, prelude::*};
use rayon::{Scope, ThreadPool, ThreadPoolBuilder};

use crate::{error::IntoPyResult, fast::GilCell};

/// Time between two looks at signals and two calls of `progress`.
const LOOK: Duration = Duration::from_millis(50);

/// People whose data a worker checks before it looks for more to do.
const AT_ONCE: usize = 64;

/// The most threads that can be asked for.
pub(crate) const MAX_WORKERS: usize = 1024;

/// Indices of people whose work is done together, ascending, at least one.
pub(crate) type Group = Vec<usize>;

/// The index of a person, and what is wrong with the person's work.
pub(crate) type Failure = (usize, Error);

/// The threads that all calls of a process share, and the number of that process.
///
/// A fork takes no thread along: work handed to the parent's threads would wait in the child for ever.
/// So a child hires its own. It leaves the parent's alone, because dropping them would wait for them,
/// too. Whoever hires or forks holds the GIL, so that no fork finds this half written; rayon's own
/// global pool has no such owner, and nothing here may use it.
static SHARED: GilCell<Option<(u32, Arc<ThreadPool>)>> = GilCell::new(None);

/// Returns the threads that all calls of this process share, one for each core.
pub(crate) fn shared(py: Python<'_>) -> PyResult<Arc<ThreadPool>> {
    let process = process::id();
    if let Some((owner, pool)) = SHARED.with(py, Clone::clone)
        && owner == process
    {
        return Ok(pool);
    }
    let pool = hire(0)?;
    mem::forget(SHARED.replace(py, Some((process, Arc::clone(&pool)))));
    Ok(pool)
}

/// Hires threads; 0 are as many as there are cores.
fn hire(threads: usize) -> PyResult<Arc<ThreadPool>> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map(Arc::new).map_err(|error| PyOSError::new_err(format!("workers: {error}")))
}

/// How many threads work, and who is told how far they are.
pub(crate) struct Workers<'a, 'py> {
    py: Python<'py>,
    pool: Arc<ThreadPool>,
    progress: Option<&'a Bound<'py, PyAny>>,
}

impl<'a, 'py> Workers<'a, 'py> {
    /// Hires `workers` threads, by default those that all calls share; `progress` is called with the
    /// people done and all people.
    pub(crate) fn new(
        py: Python<'py>,
        workers: Option<usize>,
        progress: Option<&'a Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let pool = workers.map_or_else(|| shared(py), hire)?;
        Ok(Self { py, pool, progress })
    }

    /// Returns what `look` makes of each of `people`, in their order, without the GIL.
    ///
    /// # Errors
    /// That of the first person who has one, saying whose it is.
    pub(crate) fn check<P: Sync, T: Send>(
        &self,
        people: &[P],
        look: impl Fn(&P) -> CoreResult<T> + Sync,
    ) -> PyResult<Vec<T>> {
        let pool: &ThreadPool = &self.pool;
        let mut looked: Vec<Option<CoreResult<T>>> = people.iter().map(|_| None).collect();
        let parts = people.chunks(AT_ONCE).zip(looked.chunks_mut(AT_ONCE));
        self.py.detach(|| {
            pool.in_place_scope(|scope| {
                for (people, looked) in parts {
                    scope.spawn(|_| {
                        for (person, looked) in people.iter().zip(looked) {
                            *looked = Some(look(person));
                        }
                    });
                }
            });
        });
        let named = |(index, one): (usize, CoreResult<T>)| {
            one.into_py().map_err(|error| of_person(self.py, index, error))
        };
        looked.into_iter().flatten().enumerate().map(named).collect()
    }

    /// Returns what `work` makes of each of `groups`, in their order, without the GIL.
    ///
    /// The groups are begun in their order, so the long ones belong to the front. Each worker has a `B`
    /// of its own, to be used for one group after the other.
    ///
    /// # Errors
    /// What a signal or `progress` raises; otherwise that of `work` for the first person for whom it
    /// fails, as `blame` words it. What has not been begun is then left undone.
    pub(crate) fn run<B: Default, T: Send>(
        &self,
        groups: &[Group],
        work: impl Fn(&mut B, &[usize]) -> Result<T, Failure> + Sync,
        blame: impl FnOnce(Failure) -> PyErr,
    ) -> PyResult<Vec<T>> {
        let threads = self.pool.current_num_threads();
        let queue = Queue::new(groups, threads.min(groups.len()));
        self.pool.in_place_scope(|scope| self.run_in(scope, &queue, &work))?;
        queue.into_results().map_err(blame)
    }

    fn run_in<'scope, B: Default, T: Send>(
        &self,
        scope: &Scope<'scope>,
        queue: &'scope Queue<'_, T>,
        work: &'scope (impl Fn(&mut B, &[usize]) -> Result<T, Failure> + Sync),
    ) -> PyResult<()> {
        for _ in 0..queue.state().at_work {
            scope.spawn(move |_| queue.work_off(work));
        }
        self.watch(queue)
    }

    /// Looks at signals and calls `progress` until the workers are gone; sends them home if that raises.
    fn watch<T: Send>(&self, queue: &Queue<'_, T>) -> PyResult<()> {
        let total = queue.groups.iter().map(Vec::len).sum::<usize>();
        let mut told = 0;
        let mut outcome = Ok(());
        loop {
            let over = self.py.detach(|| queue.wait());
            if outcome.is_ok() {
                let done = queue.done.load(Relaxed);
                outcome = self.py.check_signals().and_then(|()| match self.progress {
                    Some(progress) if done > told => progress.call1((done, total)).map(drop),
                    _ => Ok(()),
                });
                told = done;
            }
            if over {
                return outcome;
            }
            if outcome.is_err() {
                queue.stop_at(0);
            }
        }
    }
}

/// What the workers have in common.
struct Queue<'a, T> {
    groups: &'a [Group],
    /// The group to be taken next.
    next: AtomicUsize,
    /// The person from whom on nothing is to be begun.
    end: AtomicUsize,
    /// People done.
    done: AtomicUsize,
    state: Mutex<State<T>>,
    /// The last worker is gone.
    over: Condvar,
}

struct State<T> {
    at_work: usize,
    /// With the index of the group.
    results: Vec<(usize, T)>,
    failure: Option<Failure>,
}

impl<'a, T> Queue<'a, T> {
    fn new(groups: &'a [Group], at_work: usize) -> Self {
        Self {
            groups,
            next: AtomicUsize::new(0),
            end: AtomicUsize::new(usize::MAX),
            done: AtomicUsize::new(0),
            state: Mutex::new(State { at_work, results: Vec::new(), failure: None }),
            over: Condvar::new(),
        }
    }

    /// What one worker does.
    fn work_off<B: Default>(&self, work: impl Fn(&mut B, &[usize]) -> Result<T, Failure>) {
        let _leave = Leave(self);
        let mut buffers = B::default();
        let mut results = Vec::new();
        while let Some((k, group)) = self.take() {
            match work(&mut buffers, group) {
                Ok(result) => {
                    results.push((k, result));
                    self.done.fetch_add(group.len(), Relaxed);
                }
                Err(failure) => self.fail(failure),
            }
        }
        self.state().results.append(&mut results);
    }

    /// The next group that is still to be begun.
    fn take(&self) -> Option<(usize, &'a Group)> {
        loop {
            let k = self.next.fetch_add(1, Relaxed);
            let group = self.groups.get(k)?;
            if group[0] < self.end.load(Relaxed) {
                return Some((k, group));
            }
        }
    }

    /// Whoever comes before the person may still fail, and would then be the first.
    fn fail(&self, failure: Failure) {
        self.stop_at(failure.0);
        let mut state = self.state();
        if state.failure.as_ref().is_none_or(|first| failure.0 < first.0) {
            state.failure = Some(failure);
        }
    }

    fn stop_at(&self, person: usize) {
        self.end.fetch_min(person, Relaxed);
    }

    /// Waits until the workers are gone, for a while; whether they are.
    fn wait(&self) -> bool {
        let (state, _) = self
            .over
            .wait_timeout_while(self.state(), LOOK, |state| state.at_work > 0)
            .unwrap_or_else(PoisonError::into_inner);
        state.at_work == 0
    }

    fn into_results(self) -> Result<Vec<T>, Failure> {
        let State { mut results, failure, .. } =
            self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_unstable_by_key(|&(k, _)| k);
        match failure {
            Some(failure) => Err(failure),
            None => Ok(results.into_iter().map(|(_, result)| result).collect()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker who goes, even if by a panic.
struct Leave<'a, 'q, T>(&'a Queue<'q, T>);

impl<T> Drop for Leave<'_, '_, T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.at_work -= 1;
        if state.at_work == 0 {
            self.0.over.notify_all();
        }
    }
}

/// The same error, saying whose data it is about.
pub(crate) fn of_person(py: Python<'_>, index: usize, error: PyErr) -> PyErr {
    let message = format!("people[{index}]: {}", error.value(py));
    PyErr::from_type(error.get_type(py), message)
}
