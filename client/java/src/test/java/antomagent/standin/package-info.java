/** What of Antom's SDK for Java the adapter touches, written anew: its client, the method a subclass overrides, and the result. */
package antomagent.standin;
