//! Randomness that is the same everywhere: a small generator, and texts, times and tokens made of it.

/// 2025-01-01T00:00:00Z in microseconds: when the sample's history begins.
pub(crate) const EPOCH_MICROS: i64 = 1_735_689_600_000_000;
/// How long that history is.
const HISTORY_MICROS: u64 = 400 * 86_400_000_000;

const TOKEN_LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

/// Words of many scripts, and everything that a format could trip over.
const WORDS: &[&str] = &[
    "orders",
    "revenue",
    "weekly",
    "churn",
    "by",
    "region",
    "of",
    "new",
    "customers",
    "margin",
    "forecast",
    "pipeline",
    "Umsätze",
    "Größe",
    "année",
    "préféré",
    "niño",
    "São",
    "Łódź",
    "żółć",
    "İstanbul",
    "Αθήνα",
    "продажи",
    "отчёт",
    "売上",
    "顧客",
    "매출",
    "销售额",
    "مبيعات",
    "דוחות",
    "विक्रय",
    "🚢",
    "📊",
    "👩‍🚀",
    "e\u{301}",
    "O'Brien",
    "say \"so\"",
    "C:\\temp",
    "50%",
    "a_b",
    "tab\there",
    "line\nbreak",
    "carriage\r\nreturn",
    "\\N",
    "\\.",
    "{\"a\":[1,2]}",
    "--",
    ";",
    "NULL",
    "''",
    "$1",
];

const FIRST_NAMES: &[&str] = &[
    "Ada",
    "Bjørn",
    "Chloé",
    "Dmitri",
    "Eşref",
    "Fátima",
    "Grete",
    "Hiroshi",
    "Ines",
    "João",
    "Katarzyna",
    "Li",
    "Mónica",
    "Nguyễn",
    "Olu",
    "Πέτρος",
    "Quentin",
    "Ruth",
    "Søren",
    "Thandi",
];
const LAST_NAMES: &[&str] = &[
    "Adebayo",
    "Brontë",
    "Castañeda",
    "Dvořák",
    "Ekström",
    "Færøy",
    "García",
    "Häkkinen",
    "Ivanov",
    "Jørgensen",
    "Kowalczyk",
    "Lindqvist",
    "Müller",
    "Ní Dhomhnaill",
    "O'Neill",
    "Pérez",
    "Quispe",
    "Rossi",
    "Şahin",
    "Tanaka",
];

/// `SplitMix64` (Steele, Lea, Flood 2014): one addition and a mixing function per number.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator of one row's own, so that any row can be made without those before it.
    pub(crate) fn of_row(seed: u64, table: &str, row: u64) -> Self {
        let mut random = Self(seed);
        let mut state = random.next();
        for byte in table.bytes() {
            random.0 = state ^ u64::from(byte);
            state = random.next();
        }
        random.0 = state ^ row;
        random.0 = random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is above 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a>(&mut self, of: &'a [&'a str]) -> &'a str {
        let length = u64::try_from(of.len()).expect("a list in memory");
        of[usize::try_from(self.below(length)).expect("below a length")]
    }

    /// A fraction from 0 to 1, without 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        let bits = u32::try_from(self.next() >> 32).expect("32 bits are left");
        f64::from(bits) / 4_294_967_296.0
    }

    pub(crate) fn words(&mut self, most: u64) -> String {
        let mut text = self.pick(WORDS).to_owned();
        for _ in 0..self.below(most) {
            text.push(' ');
            text.push_str(self.pick(WORDS));
        }
        text
    }

    /// Words, at least `bytes` of them.
    pub(crate) fn text_of(&mut self, bytes: u64) -> String {
        let mut text = String::new();
        while (text.len() as u64) < bytes {
            text.push_str(self.pick(WORDS));
            text.push(' ');
        }
        text
    }

    pub(crate) fn first_name(&mut self) -> &'static str {
        self.pick(FIRST_NAMES)
    }

    pub(crate) fn last_name(&mut self) -> &'static str {
        self.pick(LAST_NAMES)
    }

    /// Letters, digits, `-` and `_`, as in an `entity_id`.
    pub(crate) fn token(&mut self, length: usize) -> String {
        (0..length)
            .map(|_| char::from(TOKEN_LETTERS[usize::from(self.byte() & 63)]))
            .collect()
    }

    /// Lower-case hex digits.
    pub(crate) fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits + 16);
        while text.len() < digits {
            text.push_str(&format!("{:016x}", self.next()));
        }
        text.truncate(digits);
        text
    }

    /// The shape of a random UUID.
    pub(crate) fn uuid(&mut self) -> String {
        let hex = self.hex(32);
        format!(
            "{}-{}-4{}-8{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[13..16],
            &hex[17..20],
            &hex[20..]
        )
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    pub(crate) fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }

    /// Microseconds since 1970, within the sample's history; the fraction is sometimes whole, as clocks give it.
    pub(crate) fn micros(&mut self) -> i64 {
        let since = i64::try_from(self.below(HISTORY_MICROS)).expect("far below 2^63");
        match self.below(3) {
            0 => EPOCH_MICROS + since - since.rem_euclid(1_000_000),
            1 => EPOCH_MICROS + since - since.rem_euclid(1_000),
            _ => EPOCH_MICROS + since,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_generator_is_splitmix64() {
        // The first numbers of seed 1234567 as the algorithm's authors publish them.
        let mut random = Random(1_234_567);
        let numbers: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn rows_of_different_tables_and_numbers_differ() {
        let first = |table, row| Random::of_row(7, table, row).next();
        let all = [first("a", 0), first("a", 1), first("b", 0), first("ab", 0)];
        assert!((1..all.len()).all(|at| !all[..at].contains(&all[at])));
    }
}
