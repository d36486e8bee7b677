use std::fs;

use super::*;

struct Log {
    folder: tempfile::TempDir,
}

impl Log {
    fn new() -> Self {
        let it = Self { folder: tempfile::tempdir().expect("a folder") };
        create(&it.path()).expect("created");
        it
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("commits")
    }

    /// Opens it, and tells what it holds.
    fn open(&self) -> Result<(CommitLog, Vec<Vec<Change>>), String> {
        let mut commits = Vec::new();
        let apply = |changes| {
            commits.push(changes);
            Ok(())
        };
        let log = CommitLog::open(self.path(), BYTES_MAX, |_| Ok(()), apply).map_err(|it| it.to_string())?;
        Ok((log, commits))
    }

    fn commits(&self) -> Vec<Vec<Change>> {
        self.open().expect("opened").1
    }

    /// Changes the file behind its back.
    fn meddle(&self, meddle: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path()).expect("read");
        meddle(&mut bytes);
        fs::write(self.path(), bytes).expect("written");
    }
}

/// A commit of some changes, of a size of its own.
fn changes(number: usize) -> Vec<Change> {
    let set = (format!("key-{number}").into_bytes(), Some(vec![number as u8; number * 37 % 5000]));
    let remove = (vec![0xff; number % 9 + 1], None);
    let empty = (b"empty".to_vec(), Some(Vec::new()));
    vec![set, remove, empty]
}

#[test]
fn what_was_committed_is_there_in_order_until_a_new_beginning() {
    let log = Log::new();
    assert_eq!(log.commits(), Vec::<Vec<Change>>::new());
    let (mut open, _) = log.open().expect("opened");
    let all: Vec<_> = (0..500).map(changes).collect();
    for commit in &all {
        open.append(commit).expect("appended");
    }
    assert!(open.size > GROWTH && open.size % GROWTH == 0, "{}", open.size);
    let (mut again, commits) = log.open().expect("opened");
    assert_eq!(commits, all);
    assert_eq!((again.next, again.end), (open.next, open.end));
    again.append(&changes(7)).expect("appended");
    assert_eq!(log.commits().len(), 501);
    again.begin_anew().expect("begun");
    assert!(again.is_empty());
    assert_eq!(log.commits(), Vec::<Vec<Change>>::new());
    again.append(&changes(8)).expect("appended");
    assert_eq!(log.commits(), [changes(8)]);
}

#[test]
fn a_log_is_full_before_it_is_too_large() {
    let log = Log::new();
    let (mut open, _) = log.open().expect("opened");
    let commit: Vec<Change> = vec![(b"key".to_vec(), Some(vec![1; 500_000]))];
    let bytes = CommitLog::room_for(&commit);
    let mut commits = 0;
    while open.has_room(bytes) {
        open.append(&commit).expect("appended");
        commits += 1;
        assert_eq!(open.end, FIRST + commits * bytes);
    }
    assert_eq!(commits, (BYTES_MAX - FIRST) / bytes);
    assert!(log.path().metadata().expect("there").len() <= BYTES_MAX);
}

/// The last commit, with each of its sectors written or not, and cut off at any byte: it is there whole, or not at all.
#[test]
fn a_torn_commit_is_none() {
    let log = Log::new();
    let (mut open, _) = log.open().expect("opened");
    open.append(&changes(3)).expect("appended");
    let begun = open.end as usize;
    open.append(&[(b"k".to_vec(), Some(vec![9; 12_000]))]).expect("appended");
    let end = open.end as usize;
    let whole = fs::read(log.path()).expect("read");
    for kept in (begun..end - 8).step_by(61) {
        fs::write(log.path(), [&whole[..kept], &vec![0; whole.len() - kept]].concat()).expect("written");
        assert_eq!(log.commits(), [changes(3)], "{kept}");
    }
    for lost in 0..3 {
        let mut bytes = whole.clone();
        let sector = 4096 * (begun / 4096 + lost);
        bytes[sector.max(begun)..sector + 4096].fill(0);
        fs::write(log.path(), bytes).expect("written");
        assert_eq!(log.commits(), [changes(3)], "{lost}");
    }
    fs::write(log.path(), whole).expect("written");
    assert_eq!(log.commits().len(), 2);
    // What is torn is written over.
    log.meddle(|it| it[begun + 30] ^= 1);
    let (mut again, _) = log.open().expect("opened");
    again.append(&changes(4)).expect("appended");
    assert_eq!(log.commits(), [changes(3), changes(4)]);
}

#[test]
fn a_damaged_commit_that_others_follow_is_an_error_that_says_so() {
    let log = Log::new();
    let (mut open, _) = log.open().expect("opened");
    let mut ends = vec![FIRST as usize];
    for number in 0..3 {
        open.append(&changes(number + 1)).expect("appended");
        ends.push(open.end as usize);
    }
    log.meddle(|it| it[ends[1] + 40] ^= 1);
    let said = log.open().expect_err("refused");
    assert!(said.contains("commit 1 is damaged, and commit 2 follows"), "{said}");
    assert!(said.contains("move the file away"), "{said}");
    log.meddle(|it| it[33] ^= 1);
    let said = log.open().expect_err("refused");
    assert!(said.ends_with("its first sector is not what was written"), "{said}");
    for length in [0, 10, 51] {
        fs::write(log.path(), vec![0; length]).expect("written");
        assert!(log.open().is_err(), "{length}");
    }
}

/// The first commit of a new generation is torn, and what is left of the last generation fits together.
#[test]
fn commits_of_the_generation_before_are_none() {
    let log = Log::new();
    let (mut open, _) = log.open().expect("opened");
    for number in 0..5 {
        open.append(&changes(number)).expect("appended");
    }
    let before = fs::read(log.path()).expect("read");
    open.begin_anew().expect("begun");
    open.append(&changes(9)).expect("appended");
    let commits = FIRST as usize..before.len();
    log.meddle(|it| it[commits.clone()].copy_from_slice(&before[commits]));
    assert_eq!(log.commits(), Vec::<Vec<Change>>::new());
}

/// Somebody who can have values kept puts a commit into one.
#[test]
fn a_value_is_never_taken_for_a_commit() {
    let log = Log::new();
    let (mut open, _) = log.open().expect("opened");
    let mut forged = Vec::new();
    // All but the salt can be guessed.
    let guessed = Generation { number: open.generation.number, salt: 0 };
    guessed.encode(5, &changes(1), &mut forged);
    open.append(&[(vec![b'k'; 8], Some(forged))]).expect("appended");
    let at = FIRST as usize;
    log.meddle(|it| it[at] ^= 1);
    assert_eq!(log.commits(), Vec::<Vec<Change>>::new());
}

#[test]
fn the_file_is_what_its_description_says() {
    let generation = Generation { number: 2, salt: 3 };
    let mut commit = Vec::new();
    generation.encode(0, &[(b"ab".to_vec(), Some(b"xyz".to_vec())), (b"c".to_vec(), None)], &mut commit);
    assert_eq!(
        hex::encode([&generation.header()[..], &commit].concat()),
        concat!(
            "77696e646c6173732d636f6d6d69747320310a00000000000000000000000000",
            "0000000000000002",
            "0000000000000003",
            "52bfd389",
            "fe412e5a",
            "00000016",
            "0000000000000002",
            "0000000000000000",
            "00000002",
            "00000003",
            "6162",
            "78797a",
            "00000001",
            "ffffffff",
            "63",
            "0000",
        )
    );
}
