//! What a writer does: a statement in SQL, and the same as a function of a table's rows.
//!
//! Which operation is the nth of a writer follows from the seed alone, so the checker knows it without being told.

/// Tables that are written. `account` only ever moves money between rows that stay; the others come and go.
pub const TABLES: [&str; 3] = ["account", "journal", "ledger"];
/// Whose commits must be serializable in the order of versions: blind appends may not be overlooked either.
pub const SERIALIZABLE: [&str; 2] = ["account", "ledger"];
pub const ACCOUNTS: i64 = 40;
pub const MONEY_EACH: i64 = 100;
/// Row numbers of one writer's operations begin so far from those of another one.
const WRITER_STEP: i64 = 1_000_000;
/// Rows of one operation.
const ROWS_MAX: i64 = 4;

/// A generator whose choices a seed decides (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % bound as u64) as i64
    }
}

/// A row: its number, its value, and the version whose blind append it comes from, if no later one changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub key: i64,
    pub value: i64,
    pub appended: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Money from one account to another, by UPDATE or by MERGE.
    Transfer {
        from: i64,
        to: i64,
        amount: i64,
        merge: bool,
    },
    Insert {
        keys: Vec<i64>,
    },
    InsertSelect {
        modulus: i64,
        rest: i64,
        shift: i64,
    },
    Update {
        modulus: i64,
        rest: i64,
        plus: i64,
    },
    Delete {
        modulus: i64,
        rest: i64,
    },
    /// Adds to rows that are there, inserts those that are not.
    Merge {
        keys: Vec<i64>,
        plus: i64,
    },
    Replace {
        first: i64,
        last: i64,
        keys: Vec<i64>,
    },
    Optimize {
        zorder: bool,
    },
    /// What is old, which is every row, moves into the cold tier.
    Cool,
    /// To a version that is there when its writer has come so far, or nearly always.
    Restore {
        to: u64,
    },
    /// What the table says of itself, not its rows.
    Alter {
        comment: bool,
    },
    Read,
    /// At a version that the writer knows of: this part of a thousand of the newest.
    ReadVersion {
        part: i64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Of the writer and its place among the writer's operations.
    pub id: u64,
    pub table: &'static str,
    pub kind: Kind,
    /// Sent with an idempotency key, and again when nobody knows whether it happened.
    pub keyed: bool,
}

impl Operation {
    pub fn id(writer: u64, n: u64) -> u64 {
        writer * WRITER_STEP as u64 + n
    }

    pub fn new(seed: u64, writer: u64, n: u64) -> Self {
        let id = Self::id(writer, n);
        let mut random = Random::new(seed.wrapping_mul(0x1000_0001).wrapping_add(id));
        let (keyed, pick) = (random.below(2) == 0, random.below(100));
        if pick < 35 {
            let (from, amount) = (random.below(ACCOUNTS), 1 + random.below(3));
            let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
            let kind = match random.below(11) {
                10 => Kind::Alter { comment: random.below(2) == 0 },
                0 if random.below(2) == 0 => Kind::Cool,
                0 => Kind::Optimize { zorder: random.below(3) == 0 },
                1 => Kind::Read,
                2 => Kind::ReadVersion { part: random.below(1001) },
                n => Kind::Transfer { from, to, amount, merge: n % 2 == 0 },
            };
            return Self { id, table: "account", kind, keyed };
        }
        let table = if pick < 75 { "journal" } else { "ledger" };
        let own = |n: i64| (0..=n % ROWS_MAX).map(|row| id as i64 * 10 + row).collect::<Vec<_>>();
        // Rows that this or another writer may have inserted.
        let mut others = || {
            let (writer, before) = (random.below(writer as i64 + 2), random.below(n as i64 + 1));
            (writer * WRITER_STEP + before) * 10
        };
        let some = [others(), others() + 1];
        let (modulus, plus) = ([3, 5, 7, 50][random.below(4) as usize], 1 + random.below(9));
        let rest = random.below(modulus);
        let kind = match random.below(22) {
            0..=5 => Kind::Insert { keys: own(random.below(ROWS_MAX)) },
            6 => Kind::InsertSelect { modulus: 97, rest: random.below(97), shift: 5 },
            7..=9 => Kind::Update { modulus, rest, plus },
            10 | 11 => Kind::Delete { modulus: 10 + modulus, rest },
            12..=14 => {
                let mut keys = own(1);
                keys.extend(some.iter().filter(|key| !keys.contains(key)).copied().collect::<Vec<_>>());
                keys.dedup();
                Kind::Merge { keys, plus }
            }
            15 => Kind::Replace { first: some[0], last: some[0] + 40, keys: vec![some[0], some[0] + 3] },
            16 if random.below(2) == 0 => Kind::Cool,
            16 => Kind::Optimize { zorder: random.below(3) == 0 },
            17 | 18 => Kind::Read,
            19 => Kind::ReadVersion { part: random.below(1001) },
            20 => Kind::Alter { comment: random.below(2) == 0 },
            // Such a table has its first rows in version 1.
            _ => Kind::Restore { to: 1 + random.below(1 + n as i64 / 4) as u64 },
        };
        // With a key a version tells of it also when there was nothing to do.
        let keyed = keyed || matches!(kind, Kind::Restore { .. });
        Self { id, table, kind, keyed }
    }

    pub fn changes_rows(&self) -> bool {
        use Kind::{Alter, Cool, Optimize, Read, ReadVersion};
        !matches!(self.kind, Optimize { .. } | Cool | Alter { .. } | Read | ReadVersion { .. })
    }

    /// The version whose rows it brings back.
    pub fn restores(&self) -> Option<u64> {
        if let Kind::Restore { to } = self.kind { Some(to) } else { None }
    }

    /// Whether it is sent with a key, so that it may be sent again.
    pub fn may_repeat(&self) -> bool {
        self.keyed && self.changes_rows()
    }

    /// `newest` is the newest version of its table that the writer knows of.
    pub fn sql(&self, newest: u64) -> String {
        let Self { id, table, kind, .. } = self;
        let values = |keys: &[i64], value: &dyn Fn(i64) -> i64| {
            keys.iter().map(|key| format!("({key}, {})", value(*key))).collect::<Vec<_>>().join(", ")
        };
        let sql = match kind {
            Kind::Transfer { from, to, amount, merge: false } => format!(
                "UPDATE {table} SET value = CASE WHEN key = {from} THEN value - {amount} ELSE value + {amount} END \
                 WHERE key IN ({from}, {to})"
            ),
            Kind::Transfer { from, to, amount, merge: true } => format!(
                "MERGE INTO {table} AS t USING (VALUES ({from}, -{amount}), ({to}, {amount})) AS s (key, plus) \
                 ON t.key = s.key WHEN MATCHED THEN UPDATE SET value = t.value + s.plus"
            ),
            Kind::Insert { keys } => {
                format!("INSERT INTO {table} (key, value) VALUES {}", values(keys, &|key| key % 11))
            }
            Kind::InsertSelect { modulus, rest, shift } => {
                format!(
                    "INSERT INTO {table} (key, value) SELECT key + {shift}, value FROM {table} WHERE key % {modulus} = {rest}"
                )
            }
            Kind::Update { modulus, rest, plus } => {
                format!("UPDATE {table} SET value = value + {plus} WHERE key % {modulus} = {rest}")
            }
            Kind::Delete { modulus, rest } => format!("DELETE FROM {table} WHERE key % {modulus} = {rest}"),
            Kind::Merge { keys, plus } => format!(
                "MERGE INTO {table} AS t USING (VALUES {}) AS s (key, plus) ON t.key = s.key \
                 WHEN MATCHED THEN UPDATE SET value = t.value + s.plus \
                 WHEN NOT MATCHED THEN INSERT (key, value) VALUES (s.key, s.plus)",
                values(keys, &|_| *plus)
            ),
            Kind::Replace { first, last, keys } => format!(
                "INSERT INTO {table} (key, value) REPLACE WHERE key >= {first} AND key <= {last} VALUES {}",
                values(keys, &|key| key % 11)
            ),
            Kind::Optimize { zorder: true } => format!("OPTIMIZE {table} ZORDER BY (value)"),
            Kind::Optimize { zorder: false } => format!("OPTIMIZE {table}"),
            // Not a statement: see `worker.rs`.
            Kind::Cool => String::new(),
            Kind::Restore { to } => format!("RESTORE TABLE {table} TO VERSION AS OF {to}"),
            Kind::Alter { comment: true } => format!("COMMENT ON COLUMN {table}.value IS 'operation {id}'"),
            Kind::Alter { comment: false } => {
                format!("ALTER TABLE {table} SET TBLPROPERTIES ('changed.by' = 'operation {id}')")
            }
            Kind::Read => fingerprint(table),
            Kind::ReadVersion { part } => {
                fingerprint(&format!("{table} VERSION AS OF {}", self.version(newest, *part)))
            }
        };
        format!("{sql} /* operation {id} */")
    }

    /// The version that it reads, if it reads an old one.
    pub fn version_read(&self, newest: u64) -> Option<u64> {
        match self.kind {
            Kind::ReadVersion { part } => Some(self.version(newest, part)),
            _ => None,
        }
    }

    fn version(&self, newest: u64, part: i64) -> u64 {
        newest * part as u64 / 1000
    }

    /// What it makes of the rows that it sees, and how many rows it tells its client of.
    pub fn apply(&self, rows: &mut Vec<Row>) -> u64 {
        let row = |key: i64, value: i64| Row { key, value, appended: None };
        match &self.kind {
            Kind::Transfer { from, to, amount, .. } => change(rows, |row| match row.key {
                key if key == *from => Some(row.value - amount),
                key if key == *to => Some(row.value + amount),
                _ => None,
            }),
            Kind::Insert { keys } => add(rows, keys.iter().map(|key| row(*key, key % 11)).collect()),
            Kind::InsertSelect { modulus, rest, shift } => {
                let found = rows.iter().filter(|row| row.key % modulus == *rest);
                let new = found.map(|found| row(found.key + shift, found.value)).collect();
                add(rows, new)
            }
            Kind::Update { modulus, rest, plus } => {
                change(rows, |row| (row.key % modulus == *rest).then_some(row.value + plus))
            }
            Kind::Delete { modulus, rest } => remove(rows, |row| row.key % modulus == *rest),
            Kind::Merge { keys, plus } => {
                let missing = keys.iter().filter(|key| !rows.iter().any(|row| row.key == **key));
                let new = missing.map(|key| row(*key, *plus)).collect();
                change(rows, |row| keys.contains(&row.key).then_some(row.value + plus)) + add(rows, new)
            }
            Kind::Replace { first, last, keys } => {
                let gone = remove(rows, |row| (*first..=*last).contains(&row.key));
                gone + add(rows, keys.iter().map(|key| row(*key, key % 11)).collect())
            }
            // What version it brings back is not a function of the rows that it sees: see `check.rs`.
            Kind::Restore { .. } => 0,
            Kind::Optimize { .. } | Kind::Cool | Kind::Alter { .. } | Kind::Read | Kind::ReadVersion { .. } => 0,
        }
    }
}

fn change(rows: &mut [Row], new: impl Fn(&Row) -> Option<i64>) -> u64 {
    let mut changed = 0;
    for row in rows {
        if let Some(value) = new(row) {
            (row.value, row.appended) = (value, None);
            changed += 1;
        }
    }
    changed
}

fn add(rows: &mut Vec<Row>, new: Vec<Row>) -> u64 {
    rows.extend_from_slice(&new);
    new.len() as u64
}

fn remove(rows: &mut Vec<Row>, goes: impl Fn(&Row) -> bool) -> u64 {
    let before = rows.len();
    rows.retain(|row| !goes(row));
    (before - rows.len()) as u64
}

/// A query whose answer two states have in common only when they are the same, or nearly never.
fn fingerprint(table: &str) -> String {
    format!(
        "SELECT count(*), coalesce(sum(key), 0), coalesce(sum(value), 0), coalesce(sum(key * value), 0), \
         coalesce(sum((key % 1009) * (key % 1009) * value), 0) FROM {table}"
    )
}

/// What that query answers on these rows.
pub fn fingerprint_of(rows: &[Row]) -> Vec<i64> {
    let sum = |of: &dyn Fn(&Row) -> i64| rows.iter().map(of).sum();
    let part = |row: &Row| row.key % 1009;
    vec![
        rows.len() as i64,
        sum(&|row| row.key),
        sum(&|row| row.value),
        sum(&|row| row.key * row.value),
        sum(&|row| part(row) * part(row) * row.value),
    ]
}
