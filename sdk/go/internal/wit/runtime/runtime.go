//go:build wasip1

// Package runtime has what the generated code needs of the language: handles of resources, and memory for what crosses
// the component's boundary.
package runtime

import (
	goruntime "runtime"
	"unsafe"
)

// Handle is a resource that is held until it is taken.
type Handle struct{ value int32 }

// MakeHandle holds a resource.
func MakeHandle(value int32) *Handle { return &Handle{value} }

// Use is the resource; it stays held.
func (h *Handle) Use() int32 {
	if h.value == 0 {
		panic("a resource is used that was given away or dropped")
	}
	return h.value
}

// Take is the resource, which is held no longer.
func (h *Handle) Take() int32 {
	value := h.Use()
	h.value = 0
	return value
}

// TakeOrNil is the resource or 0; it is held no longer.
func (h *Handle) TakeOrNil() int32 {
	value := h.value
	h.value = 0
	return value
}

// Set holds a resource again.
func (h *Handle) Set(value int32) { h.value = value }

// Allocate makes memory that stays where and as long as the pinner says.
func Allocate(pinner *goruntime.Pinner, size, align uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}
	// 8 bytes are as much as the contract aligns anything to.
	memory := unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	pinner.Pin(memory)
	return memory
}

// Unpin would free what the host put into the component. An instance serves one call, so nothing is freed.
func Unpin() {}

//go:linkname sbrk runtime.sbrk
func sbrk(n uintptr) unsafe.Pointer

// What the host puts into the component (arguments, results of imports) and what the adapter for WASI needs comes from
// pages of its own, not from the heap: this may be called before the runtime has begun, and it must not begin a
// collection, which would ask the clock where no import may be called.
const chunkBytes = 64 * 1024

var chunk, chunkEnd uintptr

//go:wasmexport cabi_realloc
func reallocate(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	at := (chunk + align - 1) &^ (align - 1)
	if chunk == 0 || at+size > chunkEnd {
		bytes := (size + align + chunkBytes - 1) &^ (chunkBytes - 1)
		chunk = uintptr(sbrk(bytes))
		chunkEnd = chunk + bytes
		at = (chunk + align - 1) &^ (align - 1)
	}
	chunk = at + size
	made := unsafe.Pointer(at)
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(made), size), unsafe.Slice((*byte)(old), min(oldSize, size)))
	}
	return made
}
