//! Several tasks in one image: selected, scored, identified.

mod linear;
mod sections;

use linear::supervised;
use pliant_runtime::adapt::Progress;
use pliant_runtime::image::record::{Operand, Space};
use pliant_runtime::image::{BankHeader, Header, Image, PlanKind, SectionEntry, SectionKind};
use pliant_runtime::policy::{Policy, SelectError, Status, act_workspace_len, workspace_len};
use sections::Aligned;

/// `y = 2 x + bank`, with one number a task.
fn banked(tasks: &[f32]) -> Aligned {
    let image = supervised([2.0, 0.0], &[1.0], 8).write();
    let mut all = sections::sections(&image);
    let bank = Operand::new(Space::Bank, 0).unwrap().0;
    for (kind, instance, _, contents) in &mut all {
        let reads = [PlanKind::Act as u16, PlanKind::Score as u16].contains(instance);
        if *kind == SectionKind::Plan as u16 && reads {
            // The bias of the first record: word 4, behind the plan's header.
            contents[48..52].copy_from_slice(&bank.to_le_bytes());
        }
    }
    let header = BankHeader {
        tasks: tasks.len() as u32,
        slice: 1,
        reserved: [0; 2],
    };
    let contents = [bytemuck::bytes_of(&header), bytemuck::cast_slice(tasks)].concat();
    all.push((SectionKind::Bank as u16, 0, SectionEntry::REQUIRED, contents));
    let mut like: Header = bytemuck::pod_read_unaligned(&image[..Header::BYTES]);
    like.workspace.bank = 1;
    sections::join(bytemuck::bytes_of(&like), &all)
}

fn with_policy<T>(bytes: &[u8], test: impl FnOnce(&mut Policy<'_>) -> T) -> T {
    let mut memory = vec![f32::NAN; workspace_len(bytes)];
    let image = Image::new_checked(bytes).unwrap();
    test(&mut Policy::new(&image, None, &mut memory).unwrap())
}

/// What it drives at an observation of 1, which is 0 normalised: half a metre a second and four times the bank's number.
fn driven(policy: &mut Policy<'_>) -> f32 {
    let mut action = [f32::NAN];
    assert_eq!(policy.split().0.act(&[1.0], &mut action), Status::Acted);
    action[0]
}

#[test]
fn a_selected_task_is_acted_on() {
    with_policy(&banked(&[0.0, 1.0, -1.0]), |policy| {
        assert_eq!(policy.tasks(), 3);
        assert_eq!(driven(policy), 0.5);
        for (task, action) in [(1, 4.5), (2, -3.5), (0, 0.5)] {
            policy.select(task).unwrap();
            assert_eq!(driven(policy), action);
        }
        policy.select(1).unwrap();
        assert_eq!(policy.select(3), Err(SelectError::NoSuchTask { tasks: 3 }));
        assert_eq!(policy.split().0.select(9), Err(SelectError::NoSuchTask { tasks: 3 }));
        assert_eq!(driven(policy), 4.5, "nothing has changed");
    });
}

#[test]
fn the_likeliest_task_is_identified_with_its_margin() {
    with_policy(&banked(&[0.0, 1.0, -1.0, 1.5]), |policy| {
        let (_, mut learner) = policy.split();
        assert_eq!(learner.identify(), Err(SelectError::EmptySupport));
        assert_eq!(learner.score_of_task(4), Err(SelectError::NoSuchTask { tasks: 4 }));
        // What task 1 does at 1.
        learner.observe_example(&[1.0], &[4.5]).unwrap();
        for (task, score) in [(0, 0.5), (1, 0.0), (2, 2.0), (3, 0.125)] {
            assert_eq!(learner.score_of_task(task), Ok(score));
        }
        let found = learner.identify().unwrap();
        assert_eq!((found.task, found.score, found.margin), (1, 0.0, 0.125));
        assert_eq!(learner.support_len(), 1, "nothing was selected");
        learner.select(1).unwrap();
        assert_eq!(learner.support_len(), 0, "a new task begins");
    });
    // Where there is but one task nothing is next best; one without a number is passed over.
    with_policy(&banked(&[f32::NAN, 1.0]), |policy| {
        let (_, mut learner) = policy.split();
        learner.observe_example(&[1.0], &[4.5]).unwrap();
        let found = learner.identify().unwrap();
        assert_eq!((found.task, found.margin), (1, f32::INFINITY));
    });
    with_policy(&banked(&[f32::NAN; 2]), |policy| {
        let (_, mut learner) = policy.split();
        learner.observe_example(&[1.0], &[4.5]).unwrap();
        assert_eq!(learner.identify(), Err(SelectError::NotFinite));
    });
}

#[test]
fn an_adaptation_under_way_is_not_disturbed() {
    with_policy(&banked(&[0.0, 1.0]), |policy| {
        let (_, mut learner) = policy.split();
        learner.observe_example(&[1.0], &[4.5]).unwrap();
        assert_eq!(learner.adapt_some(1), Progress::Working);
        assert_eq!(learner.identify(), Err(SelectError::Adapting));
        assert!(learner.is_adapting());
        // Selecting drops it.
        learner.select(0).unwrap();
        assert!(!learner.is_adapting());
    });
}

#[test]
fn without_a_bank_or_a_learner_there_is_nothing_to_choose() {
    with_policy(&supervised([2.0, 0.0], &[1.0], 8).write(), |policy| {
        assert_eq!(policy.tasks(), 0);
        assert_eq!(policy.split().1.identify(), Err(SelectError::NoSuchTask { tasks: 0 }));
        assert_eq!(policy.select(0), Err(SelectError::NoSuchTask { tasks: 0 }));
    });
    let bytes = banked(&[0.0, 1.0]);
    let mut memory = vec![f32::NAN; act_workspace_len(&bytes)];
    let image = Image::new_to_act(&bytes).unwrap();
    let mut policy = Policy::act_only(&image, None, &mut memory).unwrap();
    policy.select(1).unwrap();
    assert_eq!(driven(&mut policy), 4.5);
    let (_, mut learner) = policy.split();
    assert_eq!(learner.select(1), Err(SelectError::NotAdaptive));
    assert_eq!(learner.identify(), Err(SelectError::NotAdaptive));
    assert_eq!(learner.score_of_task(0), Err(SelectError::NotAdaptive));
}

#[test]
fn every_reason_is_a_sentence() {
    let reasons = [
        SelectError::NoSuchTask { tasks: 3 },
        SelectError::NotAdaptive,
        SelectError::Adapting,
        SelectError::EmptySupport,
        SelectError::NotFinite,
    ];
    let texts = reasons.map(|reason| reason.to_string());
    assert!(texts[0].contains('3'));
    for (index, text) in texts.iter().enumerate() {
        assert!(!text.is_empty() && !texts[..index].contains(text));
    }
}
