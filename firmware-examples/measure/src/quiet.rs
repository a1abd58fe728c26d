//! The least program around a policy: reads the image, acts once, and says nothing, so that its size is that of the runtime.

use core::hint::black_box;

use mps2::counter::Counter;
use mps2::semihosting::Console;

/// Acts (and adapts); `None` when it does not.
#[cfg(not(feature = "plan"))]
pub fn measure(_: &mut [f32], _: &mut Console, _: &Counter) -> Option<()> {
    black_box(Some(()))
}

/// The network alone: the image with its checksum and every check of what acts, then one run of its plan. Nothing knows what
/// the numbers mean.
#[cfg(all(feature = "plan", not(feature = "inference")))]
pub fn measure(memory: &mut [f32], _: &mut Console, _: &Counter) -> Option<()> {
    use pliant_runtime::image::Image;
    use pliant_runtime::plan::Exact;

    let Ok(image) = Image::new_to_act(black_box(crate::IMAGE)) else {
        return None;
    };
    let (plan, mut spaces) = crate::plan::plan_in(&image, memory)?;
    plan.run::<Exact>(&mut spaces).ok()?;
    black_box(&*spaces.output);
    Some(())
}

/// A policy with its contract: raw observation in, physical action out, the safe action where it must be refused.
#[cfg(all(feature = "inference", not(feature = "adaptation")))]
pub fn measure(memory: &mut [f32], _: &mut Console, _: &Counter) -> Option<()> {
    use pliant_runtime::image::Image;
    use pliant_runtime::policy::Policy;

    let Ok(image) = Image::new_to_act(black_box(crate::IMAGE)) else {
        return None;
    };
    let Ok(mut policy) = Policy::act_only(&image, None, memory) else {
        return None;
    };
    let (mut actor, _) = policy.split();
    let mut action = [0.0; 4];
    let status = actor.act(black_box(&[0.1; 22]), &mut action);
    black_box(action);
    (!status.is_safe_action()).then_some(())
}

/// A policy that learns from examples.
#[cfg(feature = "adaptation")]
pub fn measure(memory: &mut [f32], _: &mut Console, _: &Counter) -> Option<()> {
    use pliant_runtime::adapt::Progress;
    use pliant_runtime::image::Image;
    use pliant_runtime::policy::Policy;

    let Ok(image) = Image::new_checked(black_box(crate::IMAGE)) else {
        return None;
    };
    let Ok(mut policy) = Policy::new(&image, None, memory) else {
        return None;
    };
    let (mut actor, mut learner) = policy.split();
    let (observation, mut action) = (black_box([0.1; 16]), [0.0; 4]);
    for _ in 0..32 {
        learner.observe_example(&observation, &action).ok()?;
    }
    while let Progress::Working = learner.adapt_some(10_000) {}
    let status = actor.act(&observation, &mut action);
    black_box(action);
    learner.revert_to_base();
    (!status.is_safe_action()).then_some(())
}
