/* Which names are those of editors and tools: fs/scratch.c. */
#include "fs/scratch.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <glib.h>

#define MKSTEMP (O_RDWR | O_CREAT | O_EXCL)
#define PLAIN (O_WRONLY | O_CREAT | O_TRUNC)
#define NEW (O_WRONLY | O_CREAT | O_EXCL)

struct case_of {
	const char *key;
	int flags;
	bool scratch;
};

static void check(const char *patterns, const struct case_of *cases, guint count)
{
	struct scratch_names *names = scratch_names_new(patterns);

	for (guint i = 0; i < count; i++)
		cr_expect_eq(scratch_names_file(names, cases[i].key, cases[i].flags),
			     cases[i].scratch, "'%s' with %#o", cases[i].key,
			     (unsigned)cases[i].flags);
	scratch_names_free(names);
}
#define CHECK(patterns, cases) check(patterns, cases, G_N_ELEMENTS(cases))

Test(scratch_names, the_built_in_ones_are_told_by_how_they_are_made_too)
{
	static const struct case_of cases[] = {
		{ "d/.f.swp", NEW, true },
		{ "d/.f.swp", PLAIN, false },
		{ "d/.f.swpx", NEW, true },
		{ "d/f.swp", NEW, false },
		{ "4913", NEW | O_NOFOLLOW, true },
		{ "4913", NEW, false },
		{ "d/.#f", NEW, true },
		{ "d/#f#", PLAIN, true },
		{ "d/#f", PLAIN, false },
		{ "sedaB3xY9", MKSTEMP, true },
		{ "sedaB3xY9", NEW, false },
		{ "sedentary", MKSTEMP, true }, /* by mkstemp(3): no editor's, and no person's */
		{ "sedation1", PLAIN, false },
		{ "sedaB3xY", MKSTEMP, false },
		{ "sedaB3xY.", MKSTEMP, false },
		{ "d/XXaB3xY9", MKSTEMP, true },
		{ "d/XXaB3xY9", NEW, false },
		{ "d/XXaB3xY9z", MKSTEMP, false },
		{ "d/f.gawk.aB3xY9", MKSTEMP, true },
		{ "d/f.gawk.aB3xY9", PLAIN, false },
		{ ".f.aB3xY9", MKSTEMP, true },
		{ "f.aB3xY9", MKSTEMP, false },
		{ ".bashrc.backup", NEW, false },
		{ "r/.git/objects/5e/tmp_obj_aB3xY9", MKSTEMP, true },
		{ "r/.git/index.lock", MKSTEMP, true },
		{ "r/.git/refs/heads/main.lock", MKSTEMP, true },
		{ "r/git/index.lock", MKSTEMP, false },
		{ "f~", MKSTEMP, false },
		{ "f.tmp", MKSTEMP, false },
	};

	CHECK(NULL, cases);
	CHECK("default", cases);
}

Test(scratch_names, patterns_of_the_user_hold_however_a_file_is_made)
{
	static const struct case_of cases[] = {
		{ "x.part", PLAIN, true },    { "d/x.part", PLAIN, true },
		{ "x.part/y", PLAIN, false }, { "cache/a", PLAIN, true },
		{ "d/cache/a", NEW, true },   { "d/mycache/a", NEW, false },
		{ "cache/a/b", PLAIN, true }, { ".f.swp", NEW, false },
	};

	CHECK("*.part,cache/*", cases);
}

Test(scratch_names, default_adds_and_none_takes_away)
{
	static const struct case_of both[] = { { "x.part", PLAIN, true }, { ".f.swp", NEW, true } };
	static const struct case_of none[] = { { "none", PLAIN, false },
					       { ".f.swp", NEW, false },
					       { "4913", NEW | O_NOFOLLOW, false } };

	CHECK("*.part,default", both);
	CHECK("default,*.part", both);
	CHECK("none", none);
	CHECK("", none);
}

Test(scratch_names, of_links_only_what_locks_a_file_for_an_editor)
{
	struct scratch_names *names = scratch_names_new(NULL);

	cr_expect(scratch_names_link(names, "d/.#f"));
	cr_expect_not(scratch_names_link(names, "d/f"));
	cr_expect_not(scratch_names_link(names, "d/.f.aB3xY9"));
	scratch_names_free(names);
	scratch_names_free(NULL);
}
