/*
 * Names and messages of statuses, from the one table in weir/base.h.
 */
#include <weir/base.h>

#define STRINGIFY_(x) #x
#define STRINGIFY(x)  STRINGIFY_(x)

const char *
weir_status_name(weir_status status)
{
	switch (status) {
#define CASE(name, value, message) \
	case WEIR_##name:          \
		return #name;
		WEIR_STATUS_TABLE(CASE)
#undef CASE
	}
	return "UNKNOWN";
}

const char *
weir_status_message(weir_status status)
{
	switch (status) {
#define CASE(name, value, message) \
	case WEIR_##name:          \
		return message;
		WEIR_STATUS_TABLE(CASE)
#undef CASE
	}
	return "unknown status";
}

const char *
weir_version(void)
{
	return STRINGIFY(WEIR_VERSION_MAJOR) "." STRINGIFY(
		WEIR_VERSION_MINOR) "." STRINGIFY(WEIR_VERSION_PATCH);
}
