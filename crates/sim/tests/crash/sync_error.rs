//! A disk that fails to write: the image promises more than the tmpfs below it has, so writing
//! out fails with an I/O error. The process must end, and nothing acknowledged may be lost.

use crate::{
    image::{Mount, make_ext4, may_mount},
    load::{Shape, produce},
    machine::SMALL,
    site::{Site, alone},
};
use std::time::Duration;

const IMAGE_MIB: u64 = 512;
const TMPFS_MIB: u64 = 64;
const DEATH_MAX: Duration = Duration::from_secs(60);

#[test]
fn a_failed_write_or_sync_ends_the_process_and_loses_nothing() {
    let _turn = alone();
    let mut site = Site::open();
    if !may_mount(site.path()) {
        return;
    }
    let below = Mount::tmpfs(&site.path().join("below"), TMPFS_MIB).expect("tmpfs mounts");
    let image = below.path().join("disk.img");
    make_ext4(&image, IMAGE_MIB).expect("a sparse image fits");
    let point = site.path().join("disk");
    let disk = Mount::ext4(&image, &point).expect("it can be mounted");
    let data = disk.path().join("data");
    let mut machine = site.machine(&data, SMALL);
    let Site { world, random, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.kafka());
    world.go_on(u64::MAX);
    admin.create_topic(&mut world.must_connect(), "failing", 2, None);
    let shape = Shape { records_max: 20, bytes_max: 20_000, large_one_in: 20 };
    let threads = produce(world, random, 4, shape);
    let status = machine.wait(DEATH_MAX);
    world.say("the process ended by itself");
    world.stop();
    threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
    let status = status.unwrap_or_else(|| panic!("it goes on\n{}", machine.log()));
    assert!(!status.success(), "{status}");

    drop(disk);
    below.resize(IMAGE_MIB + 64).expect("tmpfs can grow");
    let disk = Mount::ext4(&image, &point).expect("it mounts again");
    machine.start();
    world.set_address(machine.kafka());
    auditor.audit(|_| true);
    assert!(machine.stop().success(), "{}", machine.log());
    site.expect_good(&machine, 100);
    drop(machine);
    drop(disk);
    drop(below);
}
