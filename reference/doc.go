// Package reference finds, fetches, pins and verifies the pretrained model that
// a checkpoint was fine-tuned from.
//
// # Hostile input
//
// What a checkpoint says about its base, what a hub answers and what lies in a
// model cache may all be chosen by an attacker. The package promises:
//
//   - it uses the network only where [Store.Online] is set, and then only the
//     configured endpoint and where that redirects to; it is the one package of
//     the program with network code;
//   - the access token is sent to the endpoint's own origin and nowhere else;
//   - a repository id is used only if it obeys the hub's grammar, so that it can
//     name neither a path nor another URL;
//   - file names from a hub are taken from a closed list of what a reference
//     consists of; nothing else is written, and never out of the cache folder;
//   - what is downloaded is bounded by the size stated beforehand and appears
//     under its final name only after its digest was checked;
//   - files of a cache that point out of the cache are refused;
//   - a pack is read as a stream against its manifest, in memory that does not
//     depend on what it declares; nothing of it appears in the cache before all
//     of it was checked;
//   - a reference that was pinned is opened only if every digest agrees.
//
// A digest from the hub guards against corruption and against the server that
// delivers the bytes, not against the hub itself: that is what pins are for. A
// digest in a pack guards against damage alone.
// And no check can tell whether a checkpoint names its true base. An attacker
// who names a model of their own as the base hides the difference, so how a
// reference was found ([Found.How], [Reference.Evidence]) belongs in every
// report.
package reference
