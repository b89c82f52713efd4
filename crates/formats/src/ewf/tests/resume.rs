use super::*;

struct Run {
    checkpoints: Vec<(u64, Checkpoint)>,
    recorder: Recorder,
}

fn resumable(model: &Model, split: u64) -> CreateRequest {
    let mut request = create_request(MemoryOutlet::new(), "d.E01", model);
    settle(&mut request);
    request.split = Some(split);
    request.options = options("16KiB");
    request
}

pub(super) fn seal(model: &Model) -> Seal {
    let lost = model.runs.iter().filter(|r| r.state.is_lost()).copied().collect();
    let digests = vec![("md5".to_owned(), digest(Algorithm::Md5, &model.bytes).as_bytes().to_vec())];
    Seal { len: model.bytes.len() as u64, digests, lost }
}

/// Writes the whole, with a checkpoint after every `step` bytes.
fn write_all(model: &Model, request: &CreateRequest, step: u64) -> Run {
    let recorder = Recorder::new();
    let mut sink = create(&CreateRequest { outlet: Arc::new(recorder.clone()), ..request.clone() }).unwrap();
    let mut checkpoints = Vec::new();
    let len = model.bytes.len() as u64;
    let mut at = 0;
    while at < len {
        let end = (at + step).min(len);
        feed_model(&mut *sink, model, at, end, 2).unwrap();
        at = end;
        if let Some(checkpoint) = sink.checkpoint().unwrap() {
            let mark = checkpoints.len() as u64;
            checkpoints.push((mark, checkpoint));
            recorder.mark(mark);
        }
    }
    sink.finish(&seal(model)).unwrap();
    Run { checkpoints, recorder }
}

pub(super) fn files(outlet: &MemoryOutlet) -> Vec<(String, Vec<u8>)> {
    outlet.names().into_iter().map(|n| (n.clone(), outlet.bytes(&n).unwrap())).collect()
}

/// Resumes in `folder` from the checkpoints and finishes; returns the files.
fn finish_from(
    folder: &MemoryOutlet,
    model: &Model,
    request: &CreateRequest,
    checkpoints: &[Checkpoint],
) -> Vec<(String, Vec<u8>)> {
    let request = CreateRequest { outlet: Arc::new(folder.clone()), ..request.clone() };
    let resumed = resume(&request, checkpoints).unwrap_or_else(|e| panic!("resume: {}", e.chain()));
    let upto = resumed.offset;
    assert_eq!(upto, checkpoints.last().unwrap().offset);
    let part = Model {
        bytes: model.bytes[..upto as usize].to_vec(),
        runs: model.runs.iter().filter_map(|r| r.clip(0, upto)).collect(),
        sector: 512,
    };
    check_source(&*resumed.stored, &part);
    for run in part.runs.iter().filter(|r| r.state == State::Bad) {
        for extent in extents(&*resumed.stored, run.offset, run.end()) {
            assert_eq!(extent.unwrap().state, State::Bad);
        }
    }
    let mut sink = resumed.sink;
    feed_model(&mut *sink, model, upto, model.bytes.len() as u64, 3).unwrap();
    sink.finish(&seal(model)).unwrap();
    files(folder)
}

#[test]
fn resumed_images_are_the_same_byte_for_byte_after_any_crash() {
    for (split, len) in [(60_000, 400_000), (1 << 30, 500_001)] {
        let model = Model::mixed(len, &STATES, 512, 11);
        let request = resumable(&model, split);
        let whole = write_all(&model, &request, 16 << 10);
        let expected = files(whole.recorder.folder());
        let once = write_all(&model, &request, len as u64);
        assert_eq!(files(once.recorder.folder()), expected, "checkpoints change nothing");
        let steps = whole.recorder.steps();
        for cut in 0..=steps.len() {
            let durable = steps[..cut].iter().filter(|s| matches!(s, Step::Mark(_))).count();
            if durable == 0 {
                continue;
            }
            let checkpoints: Vec<_> = whole.checkpoints[..durable].iter().map(|(_, c)| c.clone()).collect();
            for torn in [None, Some(7)] {
                let folder = Recorder::after(&steps[..cut], torn).unwrap();
                assert_eq!(
                    finish_from(&folder, &model, &request, &checkpoints),
                    expected,
                    "cut {cut} of {}",
                    steps.len()
                );
            }
        }
    }
}

#[test]
fn an_image_can_be_resumed_again_and_again() {
    let model = Model::mixed(600_000, &STATES, 512, 5);
    let request = resumable(&model, 90_000);
    let expected = files(write_all(&model, &request, 600_000).recorder.folder());
    let folder = MemoryOutlet::new();
    let request = CreateRequest { outlet: Arc::new(folder.clone()), ..request };
    let mut sink = create(&request).unwrap();
    let mut checkpoints = Vec::new();
    let mut at = 0;
    while at + (64 << 10) < 600_000 {
        feed_model(&mut *sink, &model, at, at + (48 << 10), 2).unwrap();
        checkpoints.push(sink.checkpoint().unwrap().unwrap());
        // This part is lost again.
        feed_model(&mut *sink, &model, at + (48 << 10), at + (64 << 10), 1).unwrap();
        drop(sink);
        let resumed = resume(&request, &checkpoints).unwrap();
        (sink, at) = (resumed.sink, resumed.offset);
    }
    feed_model(&mut *sink, &model, at, 600_000, 2).unwrap();
    sink.finish(&seal(&model)).unwrap();
    assert_eq!(files(&folder), expected);
}

#[test]
fn a_foreign_or_damaged_journal_is_refused() {
    let model = Model::mixed(300_000, &STATES, 512, 5);
    let request = resumable(&model, 90_000);
    let run = write_all(&model, &request, 32 << 10);
    let all: Vec<_> = run.checkpoints.iter().map(|(_, c)| c.clone()).collect();
    let folder = || {
        let folder = MemoryOutlet::new();
        files(run.recorder.folder()).into_iter().for_each(|(n, b)| folder.insert(&n, b));
        folder
    };
    let attempt = |folder: MemoryOutlet, checkpoints: &[Checkpoint]| {
        resume(&CreateRequest { outlet: Arc::new(folder), ..request.clone() }, checkpoints).err().map(|e| e.kind())
    };
    assert_eq!(attempt(folder(), &all), None);
    assert_eq!(attempt(folder(), &all[1..2]), Some(Kind::Corrupt));
    assert_eq!(attempt(folder(), &[Checkpoint { offset: 0, state: vec![1, 2] }]), Some(Kind::Corrupt));
    let cut = folder();
    cut.reopen("d.E01").unwrap().set_len(3000).unwrap();
    assert_eq!(attempt(cut, &all), Some(Kind::Corrupt));
    for at in 0..all[0].state.len() {
        let mut changed = all[..1].to_vec();
        changed[0].state[at] ^= 1;
        // Either it is found out, or what is stored is still what was written.
        let folder = folder();
        if let Ok(resumed) = resume(&CreateRequest { outlet: Arc::new(folder), ..request.clone() }, &changed) {
            let mut bytes = vec![0; resumed.offset as usize];
            resumed.stored.read_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes, model.bytes[..bytes.len()]);
        }
    }
}
