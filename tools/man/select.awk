# Leaves out the parts between `@if NAME`, `@else` and `@end` that are not to be shown:
# `features` has the names that are, with blanks between them. They may be nested.

function is_shown(i) {
	for (i = 1; i <= depth; i++)
		if (!shown[i])
			return 0
	return 1
}

/^@if / { shown[++depth] = index(" " features " ", " " $2 " ") > 0; next }
/^@else$/ { shown[depth] = !shown[depth]; next }
/^@end$/ { depth--; next }
is_shown()
END { if (depth != 0) exit 1 }
