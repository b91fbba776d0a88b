//! Power cuts of a mounted ext4 image. The copy of the backing file holds what was synced, and
//! direct writes; what the page cache alone had is gone.

use crate::{
    audit::consume,
    image::{Mount, copy_sparse, make_ext4, may_mount},
    load::{Shape, produce},
    machine::SMALL,
    site::{Site, alone},
};
use rustix::process::Signal;
use std::time::Duration;

const CUTS: u64 = 5;
const IMAGE_MIB: u64 = 256;

#[test]
fn nothing_is_lost_by_power_cuts_of_a_mounted_disk() {
    let _turn = alone();
    let mut site = Site::open();
    if !may_mount(site.path()) {
        return;
    }
    let root = site.path().to_owned();
    let image = |cut: u64| root.join(format!("disk-{cut}.img"));
    let point = |cut: u64| root.join(format!("disk-{cut}"));
    make_ext4(&image(0), IMAGE_MIB).expect("an image can be made");
    let mut disk = Mount::ext4(&image(0), &point(0)).expect("an image can be mounted");
    let mut machine = site.machine(&disk.path().join("data"), SMALL);
    let Site { world, random, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.kafka());
    for cut in 0..CUTS {
        world.go_on(6000);
        let mut connection = world.must_connect();
        admin.create_topic(&mut connection, &format!("cut-{cut}"), 3, None);
        let mut threads = produce(world, random, 4, Shape::MIXED);
        threads.extend(consume(world, random, 2));
        // Shorter than the kernel takes to write out by itself what was not synced.
        std::thread::sleep(Duration::from_millis(300 + random.below(2000)));

        machine.signal(Signal::STOP);
        world.say("power cut");
        copy_sparse(&image(cut), &image(cut + 1)).expect("the image can be copied");
        let mut next = machine.on_data(&point(cut + 1).join("data"));
        machine.kill();
        drop(disk);
        drop(std::fs::remove_file(image(cut)));
        disk = Mount::ext4(&image(cut + 1), &point(cut + 1)).expect("the copy can be mounted");
        next.start();
        machine = next;
        std::thread::sleep(Duration::from_millis(200));
        world.stop();
        threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
        auditor.audit(|_| true);
    }
    assert!(machine.stop().success(), "{}", machine.log());
    site.expect_good(&machine, 2500);
    drop(disk);
}
