//! A file system that the kernel makes read-only because of an error of its own: the process ends
//! with a word, nothing acknowledged is lost, and a start on it is refused with a word.

use crate::{
    image::{Mount, make_ext4, may_mount, repair},
    load::{Shape, produce},
    machine::SMALL,
    site::{Site, together},
};
use std::{fs, time::Duration};
use tramline_sim::live::leave_out;

const IMAGE_MIB: u64 = 128;
const DEATH_MAX: Duration = Duration::from_secs(10);
const RESUME_MAX: Duration = Duration::from_secs(5);

#[test]
fn a_disk_that_turns_read_only_ends_the_process_and_loses_nothing() {
    let _turn = together();
    let mut site = Site::open();
    if !may_mount(site.path()) {
        return;
    }
    let image = site.path().join("disk.img");
    make_ext4(&image, IMAGE_MIB).expect("an image can be made");
    let point = site.path().join("disk");
    let options = "commit=300,errors=remount-ro";
    let disk = Mount::ext4_with(&image, &point, options).expect("it can be mounted");
    let device = disk.device().expect("it is mounted");
    let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
    if !fs::exists(&trigger).unwrap_or(false) {
        leave_out("ext4-errors", &trigger);
        return;
    }
    let mut machine = site.machine(&disk.path().join("data"), SMALL);
    let Site { world, random, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.kafka());
    world.go_on(u64::MAX);
    admin.create_topic(&mut world.must_connect(), "read-only", 3, None);
    let threads = produce(world, random, 4, Shape::MIXED);
    assert!(world.wait_for_more(500, RESUME_MAX), "nothing is acknowledged");

    world.say("the file system turns read-only");
    fs::write(&trigger, "1").expect("the trigger is there");
    let status = machine.wait(DEATH_MAX);
    let status = status.unwrap_or_else(|| panic!("it goes on\n{}", machine.log()));
    assert!(!status.success(), "{status}\n{}", machine.log());
    assert!(machine.says("a write or sync failed"), "no word\n{}", machine.log());
    let error = machine.try_start().expect_err("it starts on a read-only disk");
    assert!(machine.says("Read-only file system"), "{error}: no word\n{}", machine.log());
    world.stop();
    threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));

    drop(disk);
    repair(&image).expect("the image can be repaired");
    let disk = Mount::ext4(&image, &point).expect("it mounts again");
    machine.start();
    world.set_address(machine.kafka());
    auditor.audit(|_| true);
    assert!(machine.stop().success(), "{}", machine.log());
    site.expect_good(&machine, 500);
    drop(machine);
    drop(disk);
}
