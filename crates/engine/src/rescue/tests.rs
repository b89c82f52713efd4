use super::*;
use tintype_core::Error;

/// A model that keeps a record.
pub(super) struct Bench {
    pub model: Model,
    pub len: u64,
    pub clock: f64,
    pub reads: u64,
    pub failures: u64,
    pub got: u64,
    /// (bytes, seconds, failures) after every good read.
    pub curve: Vec<(u64, f64, u64)>,
    pub passes: Vec<(Pass, u64, f64, u64)>,
}

impl Bench {
    pub fn new(model: Model, len: u64) -> Self {
        Bench { model, len, clock: 0.0, reads: 0, failures: 0, got: 0, curve: Vec::new(), passes: Vec::new() }
    }

    /// Seconds and failures until this share of what can be had was there.
    pub fn until(&self, share: f64) -> Option<(f64, u64)> {
        let goal = self.model.recoverable(0..self.len) as f64 * share;
        self.curve.iter().find(|c| c.0 as f64 >= goal - 0.5).map(|c| (c.1, c.2))
    }
}

impl Drive for Bench {
    fn read(&mut self, range: Range<u64>) -> tintype_core::Result<Reply> {
        assert!(range.end <= self.len && !range.is_empty());
        let played = self.model.read(range.clone());
        self.clock += played.seconds;
        self.reads += 1;
        let len = range.end - range.start;
        if played.good {
            self.got += len;
            self.curve.push((self.got, self.clock, self.failures));
        } else {
            self.failures += 1;
            if std::env::var_os("RESCUE_TRACE").is_some() && self.failures < 130 {
                println!("      failure {} {:?} {}", self.failures, range, range.end - range.start);
            }
        }
        if self.reads > 50_000_000 {
            return Err(Error::cancelled());
        }
        Ok(Reply { good: if played.good { len } else { 0 }, failed: !played.good, seconds: played.seconds })
    }

    fn mark(&mut self, _: Range<u64>, _: Fate) -> tintype_core::Result<()> {
        Ok(())
    }

    fn pass(&mut self, pass: Pass, _: &Ledger) -> tintype_core::Result<()> {
        self.passes.push((pass, self.got, self.clock, self.failures));
        Ok(())
    }
}

#[test]
fn show_curves() {
    let Ok(models) = std::env::var("RESCUE_MODELS") else { return };
    for path in models.split(':') {
        let text = std::fs::read_to_string(path).unwrap();
        let len: u64 = text.lines().next().and_then(|l| l.split("size ").nth(1)).unwrap().trim().parse().unwrap();
        let mut bench = Bench::new(Model::parse(&text).unwrap(), len);
        let total = bench.model.recoverable(0..len);
        let clock = std::time::Instant::now();
        let mut rescue = Rescue::new(&mut bench, Ledger::new(len), Plan::new(512, 512));
        rescue.run().unwrap();
        let fragments = rescue.ledger.fragments();
        println!(
            "{path}: {} reads, {} failures, {:.1} s; {:.4} % of what can be had; {fragments} fragments; took {:?}",
            bench.reads,
            bench.failures,
            bench.clock,
            bench.got as f64 * 100.0 / total as f64,
            clock.elapsed()
        );
        for share in [0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
            println!("  {:7} % {:?}", share * 100.0, bench.until(share));
        }
        for (pass, got, seconds, failures) in &bench.passes {
            println!("    {pass:?} begins: {:.4} % {seconds:.1} s {failures}", *got as f64 * 100.0 / total as f64);
        }
    }
}
