/* The mount table and the status text, as the command reads them. */
#include "tools/mounts.h"
#include "tools/mount_status.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(mounts, parse_reads_point_type_source_and_mounter)
{
	g_autoptr(mount) mount =
		mount_parse("42 27 0:39 / /mnt/a\\040b rw,nosuid - fuse.commitfs /srv/s\\134t "
			    "rw,user_id=1000,group_id=100,default_permissions");

	cr_assert_not_null(mount);
	cr_expect_eq(mount->id, 42);
	cr_expect_eq(mount->parent, 27);
	cr_expect_eq(mount->major, 0);
	cr_expect_eq(mount->minor, 39);
	cr_expect_str_eq(mount->point, "/mnt/a b");
	cr_expect_str_eq(mount->type, "fuse.commitfs");
	cr_expect_str_eq(mount->source, "/srv/s\\t");
	cr_expect_eq(mount->user, 1000);
	cr_expect_eq(mount->group, 100);
	cr_expect(mount_is_commitfs(mount));
}

Test(mounts, parse_skips_any_number_of_optional_fields)
{
	g_autoptr(mount) mount = mount_parse(
		"36 35 98:0 /root /mnt rw shared:1 master:2 propagate_from:3 - ext4 /dev/vda rw");

	cr_assert_not_null(mount);
	cr_expect_str_eq(mount->point, "/mnt");
	cr_expect_str_eq(mount->type, "ext4");
	cr_expect_not(mount_is_fuse(mount));
	cr_expect_eq(mount->user, 0);
}

Test(mounts, parse_gives_nothing_for_a_line_cut_short)
{
	cr_expect_null(mount_parse(""));
	cr_expect_null(mount_parse("36 35 98:0 / /mnt rw"));
	cr_expect_null(mount_parse("36 35 98:0 / /mnt rw shared:1 - ext4"));
}

Test(mounts, find_knows_the_mount_of_proc_and_nothing_below_it)
{
	g_autoptr(mount) mount = NULL;
	struct mount *none = NULL;

	cr_assert_eq(mounts_find("/proc", &mount), 0);
	cr_expect_str_eq(mount->type, "proc");
	cr_expect_eq(mounts_find("/proc/self", &none), -ENOENT);
}

Test(mount_status, get_finds_whole_names_only)
{
	static const char text[] = "oldest_revision 3\nrevision\t17\nempty \npid 4\n";
	g_autofree char *revision = mount_status_get(text, "revision");
	g_autofree char *empty = mount_status_get(text, "empty");

	cr_expect_str_eq(revision, "17");
	cr_expect_str_eq(empty, "");
	cr_expect_null(mount_status_get(text, "rev"));
}
