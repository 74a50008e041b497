use super::*;

const DAY_LIGHT: Light = Light { mean: 110.0, contrast: 45.0 };
const COVERED: Light = Light { mean: 120.0, contrast: 1.5 };
const NIGHT: Light = Light { mean: 20.0, contrast: 18.0 };
const LID: Light = Light { mean: 2.0, contrast: 0.4 };

/// A camera on a clock of its own.
struct Bench {
    diagnosis: Diagnosis,
    start: Instant,
    seconds: f64,
    picture: u64,
    told: Vec<(f64, State, String)>,
}

impl Bench {
    fn new(criteria: Criteria) -> Self {
        let start = Instant::now();
        let diagnosis = Diagnosis::new(criteria, Duration::from_secs(10), start);
        Self { diagnosis, start, seconds: 0.0, picture: 0, told: vec![] }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_secs_f64(self.seconds)
    }

    fn listen(&mut self) {
        if let Some(report) = self.diagnosis.report(self.now()) {
            self.told.push((self.seconds, report.state, report.reason));
        }
    }

    /// Half a second passes.
    fn wait(&mut self) {
        self.seconds += 0.5;
        self.listen();
    }

    /// Changing pictures of a light.
    fn see(&mut self, light: Light, seconds: u32) {
        for _ in 0..2 * seconds {
            self.picture += 1;
            self.same(light);
        }
    }

    fn same(&mut self, light: Light) {
        self.diagnosis.frame(self.now(), light, Fingerprint::of(&self.picture.to_le_bytes()));
        self.listen();
        self.wait();
    }

    fn stare(&mut self, light: Light, seconds: u32) {
        (0..2 * seconds).for_each(|_| self.same(light));
    }

    /// The states in the order in which they were told, without signs of life.
    fn states(&self) -> Vec<State> {
        let mut states: Vec<State> = self.told.iter().map(|(_, state, _)| *state).collect();
        states.dedup();
        states
    }

    fn told_at(&self, state: State) -> f64 {
        self.told.iter().find(|(_, told, _)| *told == state).map(|(at, _, _)| *at).unwrap()
    }
}

#[test]
fn the_first_picture_is_told_at_once() {
    for (light, state) in [(DAY_LIGHT, State::Live), (COVERED, State::Black), (NIGHT, State::Dark), (LID, State::Black)]
    {
        let mut bench = Bench::new(Criteria::default());
        bench.see(light, 5);
        assert_eq!(bench.states(), [state]);
        assert_eq!(bench.told[0].0, 0.0);
    }
}

#[test]
fn a_change_of_light_is_told_when_it_has_held() {
    let mut bench = Bench::new(Criteria::default());
    bench.see(DAY_LIGHT, 20);
    bench.see(COVERED, 10);
    assert_eq!(bench.states(), [State::Live, State::Black]);
    assert_eq!(bench.told_at(State::Black), 23.0);
}

#[test]
fn somebody_who_passes_by_is_no_cover() {
    let mut bench = Bench::new(Criteria::default());
    for _ in 0..10 {
        bench.see(DAY_LIGHT, 3);
        bench.see(COVERED, 2);
        bench.see(NIGHT, 2);
    }
    assert_eq!(bench.states(), [State::Live]);
}

#[test]
fn dusk_is_one_change() {
    let mut bench = Bench::new(Criteria::default());
    // Around the threshold of 32, back and forth.
    for mean in [40.0, 36.0, 33.0, 31.0, 33.0, 34.0, 31.0, 35.0, 38.0, 30.0, 20.0] {
        bench.see(Light { mean, contrast: 20.0 }, 4);
    }
    assert_eq!(bench.states(), [State::Live, State::Dark]);
    bench.see(Light { mean: 45.0, contrast: 20.0 }, 4);
    assert_eq!(bench.states(), [State::Live, State::Dark, State::Live]);
}

#[test]
fn a_lamp_in_the_dark_is_no_view() {
    let mut bench = Bench::new(Criteria::default());
    bench.see(Light { mean: 9.0, contrast: 25.0 }, 10);
    assert_eq!(bench.states(), [State::Dark]);
}

#[test]
fn a_picture_that_stays_the_same_is_frozen_until_it_changes() {
    let mut bench = Bench::new(Criteria::default());
    bench.see(DAY_LIGHT, 10);
    bench.stare(DAY_LIGHT, 40);
    assert_eq!(bench.states(), [State::Live, State::Frozen]);
    let at = bench.told_at(State::Frozen);
    assert!((39.0..=40.0).contains(&at), "{at}");
    let reason = &bench.told.last().unwrap().2;
    assert_eq!(reason, "the picture has not changed at all for 40 s");
    bench.see(DAY_LIGHT, 1);
    assert_eq!(bench.states(), [State::Live, State::Frozen, State::Live]);
}

#[test]
fn a_few_pictures_that_come_again_and_again_are_frozen_and_many_are_not() {
    for (pictures, states) in [(20, vec![State::Live, State::Frozen]), (100, vec![State::Live])] {
        let mut bench = Bench::new(Criteria::default());
        for n in 0..200 {
            bench.picture = n % pictures;
            bench.same(DAY_LIGHT);
        }
        assert_eq!(bench.states(), states);
        assert_eq!(bench.told.last().unwrap().2.contains("again and again"), states.len() == 2, "{:?}", bench.told);
    }
}

#[test]
fn black_says_more_than_frozen_and_recordings_are_never_frozen() {
    let mut bench = Bench::new(Criteria::default());
    bench.stare(LID, 60);
    assert_eq!(bench.states(), [State::Black]);
    let mut bench = Bench::new(Criteria { frozen: None, ..Criteria::default() });
    bench.stare(DAY_LIGHT, 300);
    assert_eq!(bench.states(), [State::Live]);
}

#[test]
fn a_silent_camera_is_gone_when_patience_ends() {
    let mut bench = Bench::new(Criteria::default());
    bench.see(DAY_LIGHT, 5);
    (0..60).for_each(|_| bench.wait());
    assert_eq!(bench.states(), [State::Live, State::Gone]);
    let at = bench.told_at(State::Gone);
    assert!((14.0..=15.0).contains(&at), "{at}");
    bench.see(DAY_LIGHT, 1);
    assert_eq!(bench.states(), [State::Live, State::Gone, State::Live]);
}

#[test]
fn a_camera_that_never_showed_anything_is_gone_at_the_first_trouble() {
    let mut bench = Bench::new(Criteria::default());
    bench.diagnosis.trouble(bench.now(), "refused");
    bench.listen();
    assert_eq!(bench.told, [(0.0, State::Gone, "refused".to_owned())]);
    let mut bench = Bench::new(Criteria::default());
    (0..30).for_each(|_| bench.wait());
    assert_eq!(bench.told_at(State::Gone), 10.0);
}

#[test]
fn a_short_interruption_is_not_told() {
    let mut bench = Bench::new(Criteria::default());
    bench.see(DAY_LIGHT, 5);
    bench.diagnosis.trouble(bench.now(), "reset");
    (0..6).for_each(|_| bench.wait());
    bench.see(DAY_LIGHT, 5);
    assert_eq!(bench.states(), [State::Live]);
}

#[test]
fn the_end_is_told_with_its_reason() {
    let mut bench = Bench::new(Criteria::default());
    bench.see(DAY_LIGHT, 2);
    bench.diagnosis.end(bench.now(), "the folder has ended");
    bench.listen();
    bench.wait();
    let last = bench.told.last().unwrap();
    assert_eq!((last.1, last.2.as_str()), (State::Gone, "the folder has ended"));
    assert_eq!(bench.states(), [State::Live, State::Gone]);
}

#[test]
fn signs_of_life_come_every_ten_seconds_with_the_rate() {
    let mut bench = Bench::new(Criteria::default());
    bench.see(DAY_LIGHT, 60);
    let times: Vec<f64> = bench.told.iter().map(|(at, _, _)| *at).collect();
    assert_eq!(times, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
    let rate = bench.diagnosis.rate(bench.now());
    assert!((1.9..=2.1).contains(&rate), "{rate}");
}

#[test]
fn time_that_stands_still_is_survived() {
    let mut bench = Bench::new(Criteria::default());
    for _ in 0..1000 {
        bench.diagnosis.frame(bench.start, DAY_LIGHT, Fingerprint::of(b""));
    }
    bench.diagnosis.report(bench.start);
    assert!(bench.diagnosis.rate(bench.start).is_finite());
}
