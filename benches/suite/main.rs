//! What each command costs, as whole processes, from 10 to 1,000,000 instances: `cargo bench --bench suite -- --help`.
//!
//! It makes its manifests, creates them against the emulator, which runs in this program on the same processors, and measures every
//! command some times over: the median, the least and the greatest time, processor time, the greatest peak of memory, and what was
//! written to the disk. Where valgrind and strace are found it counts instructions and syncs, which no busy machine changes. Peers
//! run beside it, in the same minutes. Nothing here judges; `--svg` draws the curves.

mod floor;
mod measure;
mod peers;
mod plot;
mod project;
mod table;

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use chatapi::emulator::{Emulator, EmulatorConfig, parse_latency};
use clap::Parser;

use measure::{Measured, instructions, measured, syncs};
use project::{Manifest, Project};
use table::Table;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Measures each command as a whole process.
#[derive(Parser)]
#[command(after_help = "Examples:\n  cargo bench --bench suite -- --sizes 1000,10000 --parts plan\n  \
                        cargo bench --bench suite -- --parts peers --sizes 100,1000 --peers curl,xargs,terraform\n  \
                        cargo bench --bench suite -- --sizes 10,100,1000,10000,100000 --svg docs/images")]
struct Args {
    /// How many instances.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000,10000")]
    sizes: Vec<usize>,
    /// What is measured.
    #[arg(long, value_delimiter = ',', default_value = "start,plan,apply,state")]
    parts: Vec<Part>,
    /// How often each command is run.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How the manifests are written.
    #[arg(long, value_enum, default_value_t = Manifest::Listed)]
    manifest: Manifest,
    /// Milliseconds that the emulator takes for a create.
    #[arg(long, value_delimiter = ',', default_value = "0,50,200")]
    latencies: Vec<u64>,
    /// Creates in flight.
    #[arg(long, value_delimiter = ',', default_value = "1,10,64,256")]
    parallelism: Vec<usize>,
    /// What runs beside it.
    #[arg(long, value_delimiter = ',', default_value = "curl,xargs")]
    peers: Vec<peers::Peer>,
    /// An apply is left out whose requests alone would take longer than this many seconds.
    #[arg(long, default_value_t = 60)]
    longest: u64,
    /// Draws the curves into this directory.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// `cargo bench` says so.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// `version`, and `validate` of ten lines, beside a program that does nothing.
    Start,
    /// `validate`, and plans of everything and of nothing.
    Plan,
    /// Applies, by latency and parallelism, and one that has nothing to do.
    Apply,
    /// `state list`, `state verify`, the index built anew, and what follows a kill.
    State,
    /// The same creates by other means.
    Peers,
    /// A plan of nothing, beside Terraform's.
    Terraform,
}

/// The same command anew.
fn again(command: &Command) -> Command {
    let mut other = Command::new(command.get_program());
    other.args(command.get_args());
    measure::like(&mut other, command);
    other
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((word, command)) = words.split_first()
        && word == measure::ONE
    {
        return measure::one_run(command);
    }
    if floor::is_done(&words)? {
        return Ok(());
    }
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut suite = Suite { table: Table::begin(), args, runtime };
    for part in suite.args.parts.clone() {
        match part {
            Part::Start => suite.start()?,
            Part::Plan => suite.plan()?,
            Part::Apply => suite.apply()?,
            Part::State => suite.state()?,
            Part::Peers => suite.peers()?,
            Part::Terraform => suite.terraform()?,
        }
    }
    match &suite.args.svg {
        Some(dir) => plot::write(dir, suite.table.rows()),
        None => Ok(()),
    }
}

struct Suite {
    args: Args,
    table: Table,
    runtime: tokio::runtime::Runtime,
}

impl Suite {
    fn emulator(&self, latency: u64) -> Result<Emulator> {
        let config = EmulatorConfig { latency: parse_latency(&format!("{latency}ms"))?, ..EmulatorConfig::default() };
        Ok(self.runtime.block_on(Emulator::start(config))?)
    }

    /// Runs `words` in `project`, and counts what can be counted.
    fn row(&mut self, what: &str, project: &Project, words: &[&str]) -> Result<()> {
        let runs = self.runs(project, words)?;
        let counted = [instructions(&project.command(words))?, syncs(&project.command(words))?];
        self.table.add(what, project.count, &runs, counted);
        Ok(())
    }

    fn runs(&self, project: &Project, words: &[&str]) -> Result<Measured> {
        measured(self.args.runs, || project.command(words))
    }

    fn start(&mut self) -> Result<()> {
        let emulator = self.emulator(0)?;
        let project = Project::new(10, self.args.manifest, &emulator.base_url())?;
        let nothing = floor::nothing(&project)?;
        let nothing = measured(self.args.runs, || again(&nothing))?;
        self.table.add("a Rust program that does nothing", 0, &nothing, [None; 2]);
        self.row("version", &project, &["version"])?;
        self.row("validate", &project, &["validate", "instances.yaml"])
    }

    fn plan(&mut self) -> Result<()> {
        for count in self.args.sizes.clone() {
            let emulator = self.emulator(0)?;
            let project = Project::new(count, self.args.manifest, &emulator.base_url())?;
            self.row("validate", &project, &["validate", "instances.yaml"])?;
            self.row("plan of everything", &project, &["plan"])?;
            project.create()?;
            self.row("plan of nothing", &project, &["plan"])?;
            self.beside_floor(&project)?;
        }
        Ok(())
    }

    /// A plan of nothing beside what no plan can do without, in turn.
    fn beside_floor(&mut self, project: &Project) -> Result<()> {
        let (yaml, state) = (floor::yaml_alone(project)?, floor::state_alone(project)?);
        let [mut plan, mut yamls, mut states] = [Measured::default(), Measured::default(), Measured::default()];
        for _ in 0..self.args.runs {
            plan.add(measured(1, || project.command(&["plan"]))?);
            yamls.add(measured(1, || again(&yaml))?);
            states.add(measured(1, || again(&state))?);
        }
        let floor = yamls.wall() + states.wall();
        self.table.add("the YAML library alone", project.count, &yamls, [None; 2]);
        self.table.add("the state alone", project.count, &states, [None; 2]);
        self.table.add_beside("plan of nothing beside them", project.count, &plan, [None; 2], ("both", floor));
        Ok(())
    }

    fn apply(&mut self) -> Result<()> {
        for count in self.args.sizes.clone() {
            for latency in self.args.latencies.clone() {
                let emulator = self.emulator(latency)?;
                for parallelism in self.args.parallelism.clone() {
                    let ideal = project::ideal(count, parallelism, latency);
                    if ideal > Duration::from_secs(self.args.longest) {
                        continue;
                    }
                    let fresh = || Project::new(count, self.args.manifest, &emulator.base_url());
                    let words = ["apply", "--parallelism", &parallelism.to_string()].map(str::to_owned);
                    let mut runs = Measured::default();
                    for _ in 0..self.args.runs {
                        let project = fresh()?;
                        runs.add(measured(1, || project.command(&words))?);
                    }
                    let counted = if latency == 0 { syncs(&fresh()?.command(&words))? } else { None };
                    let what = format!("apply, {latency} ms, {parallelism} at once");
                    self.table.add_beside(&what, count, &runs, [None, counted], ("⌈N/P⌉·L", ideal));
                }
            }
            let emulator = self.emulator(0)?;
            let project = Project::new(count, self.args.manifest, &emulator.base_url())?;
            project.create()?;
            self.row("apply of nothing", &project, &["apply"])?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<()> {
        for count in self.args.sizes.clone() {
            let emulator = self.emulator(0)?;
            let project = Project::new(count, self.args.manifest, &emulator.base_url())?;
            project.create()?;
            self.row("state list", &project, &["state", "list"])?;
            self.row("state verify", &project, &["state", "verify"])?;
            let mut runs = Measured::default();
            for _ in 0..self.args.runs {
                project.lose_index()?;
                runs.add(measured(1, || project.command(&["plan"]))?);
            }
            self.table.add("plan without an index", count, &runs, [None; 2]);
        }
        Ok(())
    }

    fn peers(&mut self) -> Result<()> {
        for count in self.args.sizes.clone() {
            for latency in self.args.latencies.clone() {
                let emulator = self.emulator(latency)?;
                for parallelism in self.args.parallelism.clone() {
                    if project::ideal(count, parallelism, latency) > Duration::from_secs(self.args.longest) {
                        continue;
                    }
                    self.beside(&emulator, (count, latency, parallelism))?;
                }
            }
        }
        Ok(())
    }

    fn terraform(&mut self) -> Result<()> {
        for count in self.args.sizes.clone() {
            let emulator = self.emulator(0)?;
            let project = Project::new(count, Manifest::Listed, &emulator.base_url())?;
            project.create()?;
            let job = peers::Job::new(peers::Peer::Terraform, count, 10, &emulator.base_url())?;
            job.record()?;
            let (mut ours, mut theirs) = (Measured::default(), Measured::default());
            for _ in 0..self.args.runs {
                ours.add(measured(1, || project.command(&["plan"]))?);
                theirs.add(measured(1, || job.plan())?);
            }
            self.table.add("plan of nothing", count, &ours, [None; 2]);
            self.table.add_beside("terraform, plan of nothing", count, &theirs, [None; 2], ("ours", ours.wall()));
        }
        Ok(())
    }

    /// An apply and its peers in turn, so that a machine that changes its pace changes it for all.
    fn beside(&mut self, emulator: &Emulator, (count, latency, parallelism): (usize, u64, usize)) -> Result<()> {
        let words = ["apply", "--parallelism", &parallelism.to_string()].map(str::to_owned);
        let mut ours = Measured::default();
        let mut theirs = vec![Measured::default(); self.args.peers.len()];
        for _ in 0..self.args.runs {
            let project = Project::new(count, Manifest::Listed, &emulator.base_url())?;
            ours.add(measured(1, || project.command(&words))?);
            for (peer, runs) in self.args.peers.iter().zip(&mut theirs) {
                let job = peers::Job::new(*peer, count, parallelism, &emulator.base_url())?;
                runs.add(measured(1, || job.command())?);
            }
        }
        let of = format!("{latency} ms, {parallelism} at once");
        self.table.add(&format!("apply, {of}"), count, &ours, [None; 2]);
        for (peer, runs) in self.args.peers.clone().into_iter().zip(&theirs) {
            self.table.add_beside(&format!("{peer}, {of}"), count, runs, [None; 2], ("ours", ours.wall()));
        }
        Ok(())
    }
}
