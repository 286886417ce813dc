//! One seed of the crash campaign: a script of changes on a simulated disk that fails or dies, images
//! of what may be found afterwards, and the oracle. The oracle is a set of models: what was
//! acknowledged, and for every change whose outcome is unknown both outcomes. A store that is opened
//! again must be one of them, whole.

use treering_tree::{Change, ErrorKind, Id};

use super::image::Image;
use super::model::Model;
use super::rng::Rng;
use super::sim_disk::{Faults, SimDisk};
use super::world::Request;

/// Crashes one after the other in one campaign, each in the store that survived the one before.
const ROUNDS: usize = 3;
/// Crashes of a recovery, before one is let through.
const RECOVERY_CRASHES: usize = 4;
/// Changes in the group that gathers behind a commit.
const GROUP_CHANGES: usize = 4;
/// States a store that cannot be read may be in, before the campaign gives up on learning more.
const STATES: usize = 16;

/// What is tested: an engine over a disk.
pub trait Engine {
    /// An opened store.
    type Store;

    /// Opens the disk, or says why not.
    fn open(&self, disk: &SimDisk) -> Result<Self::Store, String>;

    /// Commits the first change, and all others as one group behind it; with none, tidies up.
    fn commit(
        &self,
        store: &Self::Store,
        disk: &SimDisk,
        changes: &[Change],
    ) -> Vec<Result<Vec<Id>, ErrorKind>>;

    /// Whether one group may be applied while another is made durable: changes are then groups of any size.
    fn overlaps(&self) -> bool {
        false
    }

    /// How the store differs from the model, or contradicts itself; an error where it cannot be read.
    fn difference(&self, store: &Self::Store, model: &Model) -> Result<Option<String>, String>;
}

/// How a campaign goes.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Images made of each crash.
    pub images: usize,
    /// Groups of changes before each crash, at most.
    pub groups: usize,
    /// Whether a crash while the store is created may leave a file that does not open.
    pub creation_may_fail: bool,
    /// What fails beside the power.
    pub failure: Failure,
}

impl Plan {
    /// What runs with every change.
    pub fn new(failure: Failure) -> Self {
        Self { images: 12, groups: 8, creation_may_fail: true, failure }
    }
}

/// What fails beside the power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing.
    None,
    /// One sync, and its pages count as clean.
    Sync,
    /// One call, with nothing done.
    Call,
    /// All writes for a while: the disk is full, then there is space again.
    Full,
    /// Every sync, silently: a planted bug.
    SilentSyncs,
}

/// What campaigns did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Crashes of a store at work.
    pub crashes: u64,
    /// Images opened and compared.
    pub images: u64,
    /// Crashes of a recovery.
    pub recovery_crashes: u64,
    /// Images of a creation that do not open, with nothing acknowledged.
    pub creations: u64,
    /// Changes acknowledged.
    pub acknowledged: u64,
    /// Groups whose outcome was unknown while the power was still there.
    pub failures: u64,
    /// Changes acknowledged after such a one, by a store that had reopened itself, before power was lost.
    pub acknowledged_later: u64,
}

impl Counts {
    /// Adds up.
    pub fn add(&mut self, other: Self) {
        self.crashes += other.crashes;
        self.images += other.images;
        self.recovery_crashes += other.recovery_crashes;
        self.creations += other.creations;
        self.acknowledged += other.acknowledged;
        self.failures += other.failures;
        self.acknowledged_later += other.acknowledged_later;
    }
}

/// Why a store is in none of the possible states.
enum Unlike {
    Unreadable(String),
    Wrong(String),
}

/// What a loss of power left.
struct Lost {
    /// One of the images, and the state it holds.
    survivor: (Image, Model),
    /// Whether it was lost before the work was done.
    died_by_itself: bool,
}

/// The state of a campaign.
struct Campaign<'a, E> {
    engine: &'a E,
    plan: Plan,
    rng: Rng,
    counts: Counts,
    /// What the store may hold: one of these.
    possible: Vec<Model>,
    /// Whether anything was acknowledged since the disk was empty.
    acknowledged: bool,
    /// Whether anything failed since power was lost.
    failed: bool,
}

/// Runs one seed.
///
/// # Errors
/// What was found wrong, with the round.
pub fn run<E: Engine>(engine: &E, plan: Plan, seed: u64) -> Result<Counts, String> {
    let mut campaign = Campaign::new(engine, plan, seed);
    let mut image = Image::default();
    for round in 0..ROUNDS {
        let told = |why| format!("seed {seed}, round {round}, {plan:?}: {why}");
        image = campaign.round(image).map_err(told)?;
    }
    Ok(campaign.counts)
}

/// Fills a store with `entries`, then works on a copy of it again and again, and loses power at one
/// mutating call after the other until the work is done before that.
///
/// # Errors
/// What was found wrong, with the call.
pub fn at_every_call<E: Engine>(
    engine: &E,
    plan: Plan,
    seed: u64,
    entries: usize,
) -> Result<Counts, String> {
    let mut first = Campaign::new(engine, plan, seed);
    let image = first.fill(entries).map_err(|why| format!("seed {seed}, filling: {why}"))?;
    let mut counts = Counts::default();
    for call in 1.. {
        let mut again = Campaign::new(engine, plan, seed ^ 1);
        again.possible.clone_from(&first.possible);
        again.acknowledged = true;
        let faults = Faults {
            crash_at: Some(call),
            dying_write_lands: call.is_multiple_of(2),
            ..Faults::default()
        };
        let told = |why| format!("seed {seed}, call {call}, {plan:?}: {why}");
        let lost = again.lose_power(image.clone(), faults).map_err(told)?;
        counts.add(again.counts);
        if !lost.died_by_itself {
            break;
        }
    }
    Ok(counts)
}

impl<'a, E: Engine> Campaign<'a, E> {
    fn new(engine: &'a E, plan: Plan, seed: u64) -> Self {
        Self {
            engine,
            plan,
            rng: Rng::new(seed),
            counts: Counts::default(),
            possible: vec![Model::default()],
            acknowledged: false,
            failed: false,
        }
    }

    /// Works without a fault until there are so many entries; answers what a clean end leaves.
    fn fill(&mut self, entries: usize) -> Result<Image, String> {
        let disk = SimDisk::new(Vec::new(), Faults::default());
        let store = self.engine.open(&disk)?;
        while self.possible[0].nodes.len() < entries {
            self.work(&store, &disk)?;
        }
        drop(store);
        Ok(disk.live())
    }

    /// One crash: answers the image to go on with.
    fn round(&mut self, image: Image) -> Result<Image, String> {
        let faults = self.faults();
        let lost = self.lose_power(image, faults)?;
        let (image, found) = lost.survivor;
        self.acknowledged &= !image.is_empty();
        self.possible = vec![found];
        Ok(image)
    }

    /// Works on the image until the faults end it, or the work is done and the power is lost then.
    fn lose_power(&mut self, image: Image, faults: Faults) -> Result<Lost, String> {
        let disk = SimDisk::new(image, faults);
        self.failed = false;
        if let Ok(store) = self.engine.open(&disk) {
            self.work(&store, &disk)?;
            let died_by_itself = disk.is_dead();
            disk.kill();
            drop(store);
            return self.survive(&disk, died_by_itself);
        }
        if !disk.is_dead() && self.plan.failure == Failure::None {
            return Err("the store does not open though nothing failed".to_owned());
        }
        disk.kill();
        self.survive(&disk, true)
    }

    /// Looks at what may be found on a disk after power was lost.
    fn survive(&mut self, disk: &SimDisk, died_by_itself: bool) -> Result<Lost, String> {
        self.counts.crashes += 1;
        let mut survivor = None;
        for _ in 0..self.plan.images {
            let image = disk.image(&mut self.rng);
            let image = self.crash_recovery(image);
            let survives = self.check(image)?;
            if survivor.is_none() || self.rng.chance(20) {
                survivor = Some(survives);
            }
        }
        Ok(Lost { survivor: survivor.unwrap_or_default(), died_by_itself })
    }

    fn faults(&mut self) -> Faults {
        let rng = &mut self.rng;
        let early = rng.chance(10);
        let crash_at = 1 + rng.below(if early { 40 } else { 30 * self.plan.groups });
        let mut faults = Faults {
            crash_at: Some(crash_at as u64),
            dying_write_lands: rng.chance(50),
            ..Faults::default()
        };
        let when = Some(1 + rng.below(crash_at) as u64);
        match self.plan.failure {
            Failure::None => {}
            Failure::Sync => faults.fail_sync = Some(3 + rng.below(1 + crash_at / 8) as u64),
            Failure::Call => faults.fail_call = when,
            Failure::Full => {
                let from = rng.below(crash_at) as u64;
                faults.full = from..from + rng.below(40) as u64;
            }
            Failure::SilentSyncs => faults.ignore_syncs = true,
        }
        faults
    }

    fn work(&mut self, store: &E::Store, disk: &SimDisk) -> Result<(), String> {
        for _ in 0..self.plan.groups {
            let changes = self.group();
            let answers = self.engine.commit(store, disk, &changes);
            self.learn(&changes, &answers, disk.is_dead())?;
            if disk.is_dead() {
                return Ok(());
            }
            if self.possible.len() > 1 && !self.settle(store)? && self.possible.len() > STATES {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Changes of which the first reaches the disk, so that the others gather behind it.
    fn group(&mut self) -> Vec<Change> {
        let mut state = self.possible[0].clone();
        let mut changes = Vec::new();
        for _ in 0..=self.rng.below(GROUP_CHANGES) {
            let request = Request::random(&state, self.rng.draw());
            if let Some(change) = request.change() {
                let rows = state.journal.len();
                let _ = state.commit(&change);
                if rows < state.journal.len() || !changes.is_empty() {
                    changes.push(change);
                }
            }
        }
        changes
    }

    /// Narrows or widens what the store may hold by what was answered.
    fn learn(
        &mut self,
        changes: &[Change],
        answers: &[Result<Vec<Id>, ErrorKind>],
        dead: bool,
    ) -> Result<(), String> {
        let unknown = |answer: &Result<Vec<Id>, ErrorKind>| {
            matches!(answer, Err(ErrorKind::Storage | ErrorKind::Corrupt))
        };
        let (first, all) = (changes.len().min(1), changes.len());
        let groups: Vec<_> = if self.engine.overlaps() {
            (0..all).map(|one| one..one + 1).collect()
        } else {
            vec![0..first, first..all]
        };
        // What the store holds where the power was lost before a group.
        let mut ended = Vec::new();
        for group in groups {
            let lost = answers[group.clone()].iter().any(unknown);
            let before = self.possible.clone();
            let mut wrong = None;
            self.possible.retain_mut(|model| {
                changes[group.clone()].iter().zip(&answers[group.clone()]).all(
                    |(change, answer)| {
                        let expected = model.commit(change);
                        let right = unknown(answer) || *answer == expected;
                        if !right {
                            wrong = Some(format!(
                                "{change:?}: expected {expected:?}, found {answer:?}"
                            ));
                        }
                        right
                    },
                )
            });
            if self.possible.is_empty() {
                return Err(wrong.unwrap_or_default());
            }
            if lost {
                // All of a group or none of it; where the power alone was lost, nothing behind it either.
                self.counts.failures += u64::from(!dead);
                self.failed = true;
                if !dead || self.plan.failure != Failure::None {
                    self.possible.extend(before);
                    continue;
                }
                ended.extend(before);
                if !self.engine.overlaps() {
                    break;
                }
            } else if !group.is_empty() {
                ended.clear();
                self.acknowledged = true;
                self.counts.acknowledged += group.len() as u64;
                if self.failed {
                    self.counts.acknowledged_later += group.len() as u64;
                }
            }
        }
        self.possible.extend(ended);
        Ok(())
    }

    /// Finds out which of the possible states a store that is still at work is in; false where it
    /// cannot be read any more.
    fn settle(&mut self, store: &E::Store) -> Result<bool, String> {
        match self.state_of(store) {
            Ok(model) => {
                self.possible = vec![model];
                Ok(true)
            }
            Err(Unlike::Unreadable(_)) => Ok(false),
            Err(Unlike::Wrong(why)) => Err(format!("after a failure: {why}")),
        }
    }

    /// Which of the possible states a store is in; an error where it cannot be read or is in none.
    fn state_of(&self, store: &E::Store) -> Result<Model, Unlike> {
        let mut unlike = String::new();
        for model in &self.possible {
            match self.engine.difference(store, model) {
                Ok(None) => return Ok(model.clone()),
                Ok(Some(why)) => unlike = why,
                Err(why) => return Err(Unlike::Unreadable(why)),
            }
        }
        Err(Unlike::Wrong(unlike))
    }

    /// Opens an image on disks that die while it is recovered.
    fn crash_recovery(&mut self, mut image: Image) -> Image {
        for _ in 0..RECOVERY_CRASHES {
            if self.rng.chance(70) {
                break;
            }
            let crash_at = Some(1 + self.rng.below(12) as u64);
            let disk = SimDisk::new(image, Faults { crash_at, ..Faults::default() });
            drop(self.engine.open(&disk));
            disk.kill();
            image = disk.image(&mut self.rng);
            self.counts.recovery_crashes += 1;
        }
        image
    }

    /// Opens an image; answers it and which of the possible states it holds.
    fn check(&mut self, image: Image) -> Result<(Image, Model), String> {
        self.counts.images += 1;
        let disk = SimDisk::new(image.clone(), Faults::default());
        let state = match self.engine.open(&disk) {
            Ok(store) => {
                let state = self.state_of(&store);
                disk.kill();
                state
            }
            Err(_) if self.plan.creation_may_fail && !self.acknowledged => {
                self.counts.creations += 1;
                return Ok((Image::default(), Model::default()));
            }
            Err(why) => return Err(format!("does not open: {why}")),
        };
        match state {
            Ok(model) => Ok((image, model)),
            Err(Unlike::Unreadable(why)) => Err(format!("cannot be read: {why}")),
            Err(Unlike::Wrong(why)) => {
                let states = self.possible.len();
                Err(format!("holds none of {states} possible states: {why}"))
            }
        }
    }
}
